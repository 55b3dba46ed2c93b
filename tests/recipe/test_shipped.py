"""A shipped recipe is found by name, with or without the repository."""

import shutil
from pathlib import Path

import pytest

import lightning_cv
from lightning_cv.errors import UserError
from lightning_cv.recipe import shipped as module
from lightning_cv.recipe.shipped import find, shipped


def make_package(root: Path, *, installed: bool) -> Path:
    """A package folder with two recipes, as an installed wheel or as a checkout has them."""
    package = root / "lightning_cv"
    folder = package / "shipped" / "recipes" if installed else root / "recipes"
    for task, name in (("classify", "digits_small"), ("segment", "digits_small"), ("segment", "shapes_unet")):
        (folder / task).mkdir(parents=True, exist_ok=True)
        (folder / task / f"{name}.yaml").write_text(f"# {task} {name}\n# more\na: 1\n")
    package.mkdir(exist_ok=True)
    if not installed:
        (root / "pyproject.toml").touch()
    return package


@pytest.mark.parametrize("installed", [True, False])
def test_recipes_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch, installed):
    package = make_package(tmp_path / "site", installed=installed)
    monkeypatch.setattr(lightning_cv, "__file__", str(package / "__init__.py"))
    assert [(r.task, r.name, r.summary) for r in shipped()] == [
        ("classify", "digits_small", "classify digits_small"),
        ("segment", "digits_small", "segment digits_small"),
        ("segment", "shapes_unet", "segment shapes_unet"),
    ]
    assert find("shapes_unet") == find("segment/shapes_unet") == find("shapes_unet.yaml")
    assert find("segment/digits_small").parent.name == "segment"
    with pytest.raises(UserError, match="several recipes: classify/digits_small, segment/digits_small"):
        find("digits_small")
    with pytest.raises(UserError, match=r"^shapes_unt: .* did you mean shapes_unet\? see lightning-cv recipes$"):
        find("shapes_unt")


def test_a_neighbour_called_recipes_is_not_ours(tmp_path, monkeypatch):
    """In an environment, a folder `recipes` beside the package belongs to someone else."""
    package = make_package(tmp_path / "site", installed=False)
    (tmp_path / "site" / "pyproject.toml").unlink()
    monkeypatch.setattr(lightning_cv, "__file__", str(package / "__init__.py"))
    assert shipped() == []


def test_a_file_that_exists_wins_over_a_shipped_name(repository):
    name = shipped()[0].name
    assert find(name).is_relative_to(Path(repository))
    shutil.copyfile(find(name), name)
    assert find(name) == Path(name)


def test_the_folder_of_a_run_means_its_recipe():
    run = Path("runs/digits/abc")
    run.mkdir(parents=True)
    with pytest.raises(UserError, match=r"a folder without recipe\.yaml"):
        find("runs/digits/abc")
    (run / "recipe.yaml").touch()
    assert find("runs/digits/abc") == run / "recipe.yaml"


def test_a_file_that_is_missing_is_one_line():
    with pytest.raises(UserError, match=r"^mine\.yaml: no such file; see lightning-cv recipes$"):
        find("mine.yaml")


def test_the_checkout_ships_recipes(repository):
    assert module.shipped_folder() == Path(repository) / "recipes"
    assert shipped()
