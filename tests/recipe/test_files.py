"""A recipe file becomes plain data with line numbers, or one line that says what is wrong and where."""

import math
from pathlib import Path

import pytest
import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe import files
from lightning_cv.recipe.files import read_recipe, read_value


def write(text: str) -> Path:
    path = Path("recipe.yaml")
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        read_recipe(write(text))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_equal_those_of_pyyaml_and_lines_point_at_the_keys(repository):
    """The oracle is PyYAML's own safe loader, on every shipped recipe; each line holds its key."""
    recipes = sorted((repository / "recipes").glob("*/*.yaml"))
    assert recipes
    for path in recipes:
        recipe = read_recipe(path)
        assert recipe.values == yaml.safe_load(path.read_text())
        lines = path.read_text().splitlines()
        for dotted, line in recipe.lines.items():
            last = dotted.rpartition(".")[2]
            assert last.isdecimal() or last in lines[line - 1], (path, dotted)


def test_items_of_lists_have_lines():
    recipe = read_recipe(write("trainer:\n  callbacks:\n    - a\n    - b: 1\n"))
    assert recipe.lines["trainer.callbacks.1"] == 4
    assert recipe.lines["trainer.callbacks.1.b"] == 4
    assert recipe.origin("trainer.callbacks.0") == "recipe.yaml:3"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e-3", 0.0015),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("3", 3),
        ("0x10", 16),
        ("1_000", 1000),
        ("true", True),
        ("off", False),
        ("null", None),
        ("~", None),
        ("", ""),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00:00", "12:30:00:00"),
        ("e5", "e5"),
        ("bf16-mixed", "bf16-mixed"),
        ("[1, 1e-2]", [1, 0.01]),
        ("{a: {b: 2}}", {"a": {"b": 2}}),
        ("'3'", "3"),
        ("*.jpg", "*.jpg"),
        ("@x", "@x"),
    ],
)
def test_a_value_is_read_as_a_user_means_it(text, value):
    """Numbers like jsonargparse's own loader reads them; what is no YAML is text."""
    assert read_value(text, "--x") == value
    assert type(read_value(text, "--x")) is type(value)


def test_a_broken_list_is_refused_with_the_option_named():
    with pytest.raises(UserError, match=r"^--x=\[1: not YAML: "):
        read_value("[1", "--x=[1")


def test_a_missing_file_is_one_line():
    with pytest.raises(UserError, match=r"^nowhere\.yaml: cannot be read \(No such file or directory\)$"):
        read_recipe(Path("nowhere.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1,\n", "recipe.yaml:3:1: not YAML: "),
        ("a: 1\n\tb: 2\n", "recipe.yaml:2:1: not YAML: "),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "recipe.yaml:4: a.b is given twice (first on line 2)"),
        ("1: a\n'1': b\n", "recipe.yaml:2: 1 is given twice"),
        ("", "recipe.yaml:1: is empty"),
        ("- a\n", "recipe.yaml:1: holds a list"),
        ("word\n", "recipe.yaml:1: holds a single value"),
        ("a: 1\n---\nb: 2\n", "not YAML: but found another document"),
        ("a: !!python/object/apply:os.system ['touch hacked']\n", "recipe.yaml:1: the tag !!python"),
        ("a: !!python/name:os.system\n", "recipe.yaml:1: the tag !!python"),
        ("a: !own {x: 1}\n", "recipe.yaml:1: the tag !own is refused"),
        ("a: !!binary aGk=\n", "the tag !!binary is refused"),
        ("a: !!set {x}\n", "the tag !!set is refused"),
        ("a: !!int ''\n", "recipe.yaml:1: not a int"),
        ("a: !!bool maybe\n", "recipe.yaml:1: not a bool"),
        ("? [1, 2]\n: x\n", "recipe.yaml:1: the tag !!seq is refused"),
        ("null: x\n", "recipe.yaml:1: an empty key"),
        ("a: &a [*a]\n", "an alias to itself"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "nested deeper than 50 levels"),
        ("a: " + "[" * 5000 + "]" * 5000 + "\n", "nested deeper than 50 levels"),
        ("a: *nobody\n", "undefined alias"),
        ("a: " + "9" * 5000 + "\n", "recipe.yaml:1: not a int"),
        ("a: 1\nb: x\x00y\n", "recipe.yaml:2: not YAML: special characters are not allowed"),
        ("a: b\n<<: [1]\n", "<< merges mappings only"),
        ("#" * (files.MAX_BYTES + 1), "larger than 256 KiB"),
    ],
)
def test_what_is_not_plain_data_is_refused_in_one_line(text, said):
    assert said in refusal(text)
    assert not Path("hacked").exists()


def test_aliases_that_multiply_are_refused():
    """Billion laughs: nine levels of nine aliases would be 9^9 values."""
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "more than 20000 values" in refusal("\n".join(levels))
    merges = ["m0: &m0 {x: 1}"]
    merges += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 10)]
    assert "more than 20000 values" in refusal("\n".join(merges))


def test_aliases_and_merge_keys_are_filled_in_as_copies():
    """The oracle is PyYAML; unlike there, the copies are independent."""
    text = "base: &b {x: 1, y: {z: 2}}\nc:\n  <<: *b\n  x: 3\nd: *b\n"
    recipe = read_recipe(write(text))
    assert recipe.values == yaml.safe_load(text)
    recipe.values["d"]["y"]["z"] = 9
    assert recipe.values["base"]["y"]["z"] == recipe.values["c"]["y"]["z"] == 2
    assert recipe.lines["c.x"] == 4
    assert recipe.lines["c.y"] == 1


def test_text_that_is_not_utf8_is_refused():
    Path("recipe.yaml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(UserError, match=r"not UTF-8 text \(byte 3\)"):
        read_recipe(Path("recipe.yaml"))
