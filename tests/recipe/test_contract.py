"""Every shipped recipe keeps the form that DESIGN's "Recipe" asks for: header, order of keys, name of the file."""

import re
from pathlib import Path

import pytest

from lightning_cv.recipe.compose import TOP_LEVEL, compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.imports import allowed_roots, check_imports
from lightning_cv.recipe.shipped import ShippedRecipe, find, shipped

ARGUMENT_ORDER = ("class_path", "init_args", "dict_kwargs")


def faults(recipe: ShippedRecipe) -> list[str]:
    """What is wrong with the form of a recipe."""
    text = recipe.path.read_text(encoding="utf-8")
    header = list(iter_header(text))
    values = read_recipe(recipe.path).values
    wrong = []
    if not recipe.summary or len(recipe.summary) > 110:
        wrong.append("the first line of the header is no summary of at most 110 characters")
    for label in ("Run:", "Expect:", "Source:"):
        if not any(re.match(rf"# {label}\s+\S", line) for line in header):
            wrong.append(f"the header has no line '# {label} ...'")
    command = rf"# Run:\s+lightning-cv fit (--config )?\S*\b{recipe.name}\b"
    if not any(re.match(command, line) for line in header):
        wrong.append("the header's command does not run this recipe")
    if list(values) != [key for key in TOP_LEVEL if key in values]:
        wrong.append(f"the keys stand in the order {list(values)}, not {list(TOP_LEVEL)}")
    if not {"seed_everything", "model", "data", "trainer"} <= set(values):
        wrong.append("a key is missing")
    if not re.fullmatch(r"[a-z0-9]+_[a-z0-9_]+", recipe.name):
        wrong.append("the name is not <data>_<network>")
    return wrong


def iter_header(text: str):
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line


def test_every_shipped_recipe_keeps_the_form():
    recipes = shipped()
    assert recipes, "no recipe was found"
    assert {recipe.name: faults(recipe) for recipe in recipes if faults(recipe)} == {}


def test_names_of_recipes_are_unique_so_that_a_name_finds_one():
    for recipe in shipped():
        assert find(recipe.name) == recipe.path


def test_every_shipped_recipe_names_only_code_that_a_recipe_may_name():
    for recipe in shipped():
        check_imports(compose([read_recipe(recipe.path)]), allowed_roots())


def test_class_path_stands_before_its_options():
    def specs(value):
        if isinstance(value, dict):
            if "class_path" in value:
                yield list(value)
            for item in value.values():
                yield from specs(item)
        elif isinstance(value, list):
            for item in value:
                yield from specs(item)

    for recipe in shipped():
        for keys in specs(read_recipe(recipe.path).values):
            assert keys == [key for key in ARGUMENT_ORDER if key in keys], recipe.name


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("# Expect:", "# Hope:"), "the header has no line '# Expect: ...'"),
        (("# Shows digits", "seed_everything: 0"), "the first line of the header"),
        (("trainer: {}", ""), "a key is missing"),
        (("data: {}\nmodel: {}", "model: {}\ndata: {}"), None),
        (("fit digits_net", "fit other"), "the header's command"),
    ],
)
def test_the_suite_sees_a_fault(change, fault):
    """Each rule fails on a recipe that breaks it: the fixture itself breaks the order of keys only."""
    text = (
        "# Shows digits\n#\n# Run:       lightning-cv fit digits_net\n# Expect:    0.99\n# Source:    none\n"
        "seed_everything: 0\ndata: {}\nmodel: {}\ntrainer: {}\n"
    )
    path = Path("digits_net.yaml")
    path.write_text(text.replace(*change).replace("seed_everything: 0\nseed", "seed"))
    if fault == "the first line of the header":
        path.write_text("seed_everything: 0\ndata: {}\nmodel: {}\ntrainer: {}\n")
    from lightning_cv.recipe.shipped import read_summary

    found = faults(ShippedRecipe("digits_net", "classify", read_summary(path), path))
    if fault is None:
        assert found == []
    else:
        assert any(line.startswith(fault) for line in found)
        assert any("order" in line for line in found)
