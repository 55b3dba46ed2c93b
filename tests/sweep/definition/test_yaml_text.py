"""Does every value come back from the file that was written?"""

import math
import random
import struct
from pathlib import Path

import pytest

from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import shipped
from lightning_cv.sweep.definition.yaml_text import as_yaml


def read_back(mapping, header=()):
    path = Path("written.yaml")
    path.write_text(as_yaml(mapping, header), encoding="utf-8")
    return read_recipe(path).values


@pytest.mark.parametrize("recipe", shipped(), ids=lambda recipe: recipe.name)
def test_every_shipped_recipe_comes_back_equal_and_in_its_order(recipe):
    """Values, types and the order of all keys are those that were written."""
    values = read_recipe(recipe.path).values
    assert repr(read_back(values)) == repr(values)


def test_every_float_comes_back_to_the_last_bit():
    """2000 floats of random bits, and the special ones, with their signs."""
    generator = random.Random(0)  # noqa: S311
    numbers = [struct.unpack("d", generator.randbytes(8))[0] for _ in range(2000)]
    special = [0.0, -0.0, 1.0, 0.1, 1e5, 99999.9, 1e-5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 1e22, 1e16]
    found = read_back({"x": [*numbers, *special]})["x"]
    for before, after in zip([*numbers, *special], found, strict=True):
        assert type(after) is float
        assert struct.pack("d", before) == struct.pack("d", after) or (math.isnan(before) and math.isnan(after))


@pytest.mark.parametrize(
    "text",
    [
        *("1e-3", "1.5e3", "-.5", ".5", "1_000", "0x10", "017", "1.", "+.inf", "1:30", "2020-01-01"),
        *("yes", "null", "~", "", "=", "<<", "a: b", "[1", "{a", "#x", "'", '"', "- a", "? a", "%a", "@a"),
        *("a\nb", " a ", "é ü 中", "torch.optim.SGD"),
    ],
)
def test_text_that_looks_like_something_else_stays_text(text):
    """As a value, as an item and as a key."""
    assert read_back({"x": text, "y": [text]}) == {"x": text, "y": [text]}
    if text and text != "<<":
        assert read_back({"x": {text: 1}}) == {"x": {text: 1}}


def test_numbers_are_written_as_people_write_them():
    """The house's form of small numbers, and short mappings in a line."""
    text = as_yaml({"space": {"a.lr": {"log_uniform": [1e-4, 0.05], "points": 3}}, "x": {"y": 2.5e6}}, ["What.", ""])
    assert text == "# What.\n#\nspace:\n  a.lr: {log_uniform: [1.0e-4, 5.0e-2], points: 3}\nx: {y: 2.5e+6}\n"


def test_the_same_list_twice_is_written_twice():
    """No anchors, which a reader would have to follow."""
    shared = [1, 2]
    assert as_yaml({"a": shared, "b": shared}) == "a: [1, 2]\nb: [1, 2]\n"


def test_what_is_too_long_for_a_line_gets_several():
    """A mapping of 30 numbers, and a list of as many mappings, have an entry a line, and come back."""
    long = {f"key_{index}": index for index in range(30)}
    text = as_yaml({"a": long, "b": [{"c": index} for index in range(3)]})
    assert max(map(len, text.splitlines())) < 120
    assert read_back({"a": long, "b": [long]}) == {"a": long, "b": [long]}
