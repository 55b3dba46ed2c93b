"""What a file says of a search space is read as it is meant, and can be written down again."""

import warnings
from pathlib import Path

import pytest
import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.space import Choice, Condition, Range, Space
from lightning_cv.recipe.space_file import plain_space, read_space, read_values, short_text


def read(space, *, grid=False, **more) -> Space:
    """The space of a file; one that warns fails."""
    path = Path("sweep.yaml")
    path.write_text(space if isinstance(space, str) else yaml.safe_dump({"space": space, **more}, sort_keys=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_space(read_recipe(path), grid=grid)


def test_each_kind_is_read_as_it_is_written():
    space = read(
        "space:\n"
        "  a.lr: {log_uniform: [1e-4, 1.0e-1]}\n"
        "  a.x: {uniform: [-1, 1]}\n"
        "  a.n: {int: [2, 5]}\n"
        "  a.m: {log_int: [1, 1024]}\n"
        "  a.c: {choice: [32, 64.0, true, null, text]}\n"
        "  a.o: {choice: {big: {class_path: x.Y}, 3: [1]}}\n"
        "  a.p: {uniform: [0, 0.5], when: {a.o: 3, a.c: [32, true]}}\n"
    )
    conditions = (Condition(path="a.o", keys=(3,)), Condition(path="a.c", keys=(32, True)))
    assert space == Space(
        (
            Range(path="a.lr", low=1e-4, high=0.1, log=True),
            Range(path="a.x", low=-1.0, high=1.0),
            Range(path="a.n", low=2, high=5, integer=True),
            Range(path="a.m", low=1, high=1024, log=True, integer=True),
            Choice(path="a.c", options=((32, 32), (64.0, 64.0), (True, True), (None, None), ("text", "text"))),
            Choice(path="a.o", options=(("big", {"class_path": "x.Y"}), (3, [1]))),
            Range(path="a.p", low=0.0, high=0.5, when=conditions),
        )
    )
    assert all(isinstance(bound, float) for bound in (space.get("a.x").low, space.get("a.p").low))


def test_what_is_written_down_is_read_back_equal():
    """Through YAML; named and unnamed options, plain and compound ones, conditions, whole and other numbers."""
    plain = {
        "lr": {"log_uniform": [1e-4, 0.1], "points": 3},
        "n": {"log_int": [1, 64], "points": 4},
        "c": {"choice": [1, 2.5, None, "b", False]},
        "named": {"choice": {"small": 32, "large": [64, {"deep": None}]}},
        "unnamed": {"choice": [[1, 2], {"class_path": "a.B", "init_args": {"x": True}}]},
        "numbered": {"choice": {True: 1, 7: "x"}},
        "k": {"int": [0, 4], "points": 2, "when": {"c": 1, "named": ["small", "large"]}},
    }
    space = read(plain, grid=True)
    assert plain_space(space) == plain
    again = read(yaml.safe_load(yaml.safe_dump(plain_space(space), sort_keys=False)), grid=True)
    assert again == space
    assert [type(key) for key in again.get("numbered").keys] == [bool, int]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, 3),
        (None, None),
        ("torch.optim.SGD", "torch.optim.SGD"),
        ([256, 128], "[256, 128]"),
        ({"class_path": "torch.optim.SGD"}, "SGD"),
        ({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "nesterov": True}}, "SGD(lr=0.1, nesterov=true)"),
        ({"mean": [0.5, None]}, "{mean: [0.5, null]}"),
        ([], "[]"),
    ],
)
def test_an_option_without_a_name_is_called_by_what_it_says(value, text):
    assert short_text(value) == text


def test_a_long_option_is_cut_and_two_that_then_read_alike_want_names():
    long = list(range(100))
    assert len(short_text(long)) == 60
    with pytest.raises(UserError, match=r"sweep.yaml:\d+: space.c.choice.1: .* name them: choice: \{name: option\}$"):
        read({"c": {"choice": [long, [*long, 1]]}})


@pytest.mark.parametrize(
    ("entry", "proposal"),
    [
        ("{uniform: [1.0e-4, 1.0e-1]}", "log_uniform: [0.0001, 0.1]"),
        ("{uniform: [0.001, 0.1]}", "log_uniform: [0.001, 0.1]"),
        ("{int: [1, 100]}", "log_int: [1, 100]"),
    ],
)
def test_a_linear_range_over_two_decades_warns_in_one_line(entry, proposal):
    """It is read all the same."""
    Path("sweep.yaml").write_text(f"space:\n  a.lr: {entry}\n")
    with pytest.warns(UserWarning, match=r"^sweep.yaml:2: space.a.lr: [^\n]*$") as caught:
        space = read_space(read_recipe(Path("sweep.yaml")), grid=False)
    assert len(caught) == 1
    assert proposal in str(caught[0].message)
    assert not space.get("a.lr").log


@pytest.mark.parametrize(
    "entry", ["{uniform: [0, 1000]}", "{uniform: [-1, 1000]}", "{uniform: [1, 99]}", "{int: [1, 99]}"]
)
def test_a_shorter_range_or_one_from_zero_does_not_warn(entry):
    """`read` fails on a warning."""
    read(f"space:\n  a: {entry}\n")


def test_a_listed_trial_has_exactly_the_values_that_are_searched():
    space = {
        "c": {"choice": ["a", "b"]},
        "n": {"int": [1, 5], "when": {"c": "a"}},
        "x": {"uniform": [0.0, 1.0]},
    }
    trials = [
        {"x": 1, "n": 5, "c": "a"},
        {"c": "b", "x": 0.5},
        {"c": "b", "x": 0.5, "n": 1},
        {"c": "a", "x": 0.5},
        {"c": "z", "x": 0.5},
        {"c": "b", "x": 1.5},
        {"c": "b", "x": True},
        {"c": "b", "x": 0.5, "m": 1},
    ]
    found = read(space, listed=trials)
    said = read_recipe(Path("sweep.yaml"))
    values = read_values(said, "listed.0", found)
    assert list(values.items()) == [("c", "a"), ("n", 5), ("x", 1.0)]
    assert isinstance(values["x"], float)
    assert read_values(said, "listed.1", found) == {"c": "b", "x": 0.5}
    for index, problem in enumerate(
        ["n: is not searched", "no value for n", "'z' given", "1.5 given", "true given", "m: is"]
    ):
        with pytest.raises(UserError, match=rf"^sweep.yaml:\d+: listed.{index + 2}.*{problem}"):
            read_values(said, f"listed.{index + 2}", found)
