"""Every shipped sweep reads, searches what its recipe states, and begins trials that compose.

The suite finds the sweeps by itself; a sweep is tested because it exists.
"""

import warnings
from pathlib import Path

import pytest
import yaml

import lightning_cv
from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.imports import allowed_roots, check_imports
from lightning_cv.recipe.paths import get_at
from lightning_cv.recipe.shipped import find, find_sweep, shipped, shipped_sweeps
from lightning_cv.sweep.definition.file import plain_sweep, read_sweep, trial_recipe
from lightning_cv.sweep.definition.pruners import make_pruner
from lightning_cv.sweep.definition.wandb_sweep import wandb_sweep
from tests.sweep.definition.test_wandb_sweep import check_schema
from tests.sweep.written import begin, make_study

SWEEPS = {sweep.name: sweep for sweep in shipped_sweeps()}


def read(name):
    """The sweep; one that warns fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_sweep(SWEEPS[name].path)


def test_there_are_sweeps():
    """A suite that finds nothing fails."""
    assert {"digits_lr_decay", "digits_grid", "digits_augment", "cifar10_lr_decay"} <= SWEEPS.keys()


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_header_says_what_it_shows_how_to_run_it_and_what_to_expect(name):
    """Run, Expect and Source in the form of the recipes' headers, before the first key."""
    lines = SWEEPS[name].path.read_text().splitlines()
    header = lines[: next(index for index, line in enumerate(lines) if not line.startswith("#"))]
    assert SWEEPS[name].summary == header[0].removeprefix("# ")
    assert SWEEPS[name].summary.endswith(".")
    assert header[1] == "#"
    assert header[2].startswith(f"# Run:       lightning-cv sweep {name}")
    assert [line.split(":")[0] for line in header if line.startswith(("# Expect:", "# Source:"))] == [
        "# Expect",
        "# Source",
    ]


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_shipped_sweep_reads_and_names_a_shipped_recipe(name):
    """So that it runs from any folder, and two sweeps are two studies."""
    sweep = read(name)
    assert sweep.name == name
    assert sweep.recipe in [recipe.name for recipe in shipped()]
    assert sweep.num_trials >= 1
    assert make_pruner(sweep)


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_first_trials_are_recipes_that_hold_their_values_and_name_allowed_code(name):
    """Each value is found at its path; nothing else differs from the recipe with the fixed values."""
    sweep = read(name)
    study = make_study(sweep)
    base = compose([read_recipe(find(sweep.recipe))])
    for path in sweep.fixed:
        base.get(path)
    for _ in range(3):
        trial, values = begin(study, sweep)
        assert values
        recipe = trial_recipe(sweep, values)
        check_imports(recipe, allowed_roots())
        back = recipe
        for path, option in sweep.space.overrides(values):
            inner = [other for other in values if other.startswith(f"{path}.")]
            assert inner or get_at(recipe.values, path) == option
            back = (
                back
                if any(path.startswith(f"{other}.") for other in values)
                else back.set(path, sweep.composed.get(path))
            )
        assert back.values == sweep.composed.values
        study.tell(trial, [0.0] * len(sweep.objectives))


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_shipped_sweep_is_written_down_and_read_back(name):
    """As the folder of a study keeps it."""
    sweep = read(name)
    Path("again.yaml").write_text(yaml.safe_dump(plain_sweep(sweep, recipe=sweep.recipe), sort_keys=False))
    again = read_sweep(Path("again.yaml"))
    assert plain_sweep(again, recipe=sweep.recipe) == plain_sweep(sweep, recipe=sweep.recipe)
    assert again.composed.values == sweep.composed.values


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_wandb_can_run_it_unless_a_parameter_depends_on_another_or_a_controller_proposes(name):
    sweep = read(name)
    if any(parameter.when for parameter in sweep.space.parameters):
        with pytest.raises(UserError, match="depends on another parameter"):
            wandb_sweep(sweep)
        return
    if sweep.sampler.name == "policy_gradient":
        with pytest.raises(UserError, match="no sampler policy_gradient"):
            wandb_sweep(sweep)
        return
    with warnings.catch_warnings(action="ignore"):
        check_schema(wandb_sweep(sweep))


def test_the_coarse_grid_is_short():
    """Three rates times three decays, at most five epochs (row 127)."""
    sweep = read("digits_grid")
    assert sweep.num_trials == 9
    assert sweep.composed.get("trainer.max_epochs") <= 5


@pytest.mark.parametrize("installed", [True, False])
def test_sweeps_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch, installed):
    package = tmp_path / "site" / "lightning_cv"
    folder = package / "shipped" / "sweeps" if installed else tmp_path / "site" / "sweeps"
    for path in (package, folder):
        path.mkdir(parents=True, exist_ok=True)
    if not installed:
        (tmp_path / "site" / "pyproject.toml").touch()
    (folder / "small_grid.yaml").write_text("# Small.\na: 1\n")
    monkeypatch.setattr(lightning_cv, "__file__", str(package / "__init__.py"))
    assert [(sweep.name, sweep.summary, sweep.path) for sweep in shipped_sweeps()] == [
        ("small_grid", "Small.", folder / "small_grid.yaml")
    ]
    for given in ("small_grid", "small_grid.yaml", "sweeps/small_grid.yaml"):
        assert find_sweep(given) == folder / "small_grid.yaml"
    with pytest.raises(UserError, match=r"^smal_grid: neither a file nor a shipped sweep; did you mean small_grid\?$"):
        find_sweep("smal_grid")
    with pytest.raises(UserError, match=r"^mine\.yaml: no such file; allowed: small_grid$"):
        find_sweep("mine.yaml")


def test_a_file_wins_over_a_shipped_sweep_and_a_folder_means_its_sweep():
    Path("digits_grid").mkdir()
    assert find_sweep("digits_grid") == SWEEPS["digits_grid"].path
    Path("digits_grid/sweep.yaml").touch()
    assert find_sweep("digits_grid") == Path("digits_grid/sweep.yaml")
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"^empty: a folder without sweep\.yaml"):
        find_sweep("empty")
