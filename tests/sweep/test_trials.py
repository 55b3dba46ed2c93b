"""Is a trial of a sweep an ordinary training, with the values that it was told, however it comes to its end?"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lightning_cv.cli.main import main
from lightning_cv.record.manifest import newest_valid
from lightning_cv.record.progress import read_progress
from lightning_cv.record.trial import read_live_note
from lightning_cv.sweep.results import StudyResults, TrialResult
from lightning_cv.sweep.session import find_study
from tests.processes import fork
from tests.sweep.searches import ROOT
from tests.sweep.watching import end_of
from tests.sweep.watching import no_leftovers as no_leftovers

pytestmark = pytest.mark.slow

OPTIMIZER = "model.init_args.optimizer.init_args"
LR, DECAY = f"{OPTIMIZER}.lr", f"{OPTIMIZER}.weight_decay"
HIDDEN = "model.init_args.network.init_args.hidden"
QUIET = "num_sanity_val_steps: 0, enable_model_summary: false, log_every_n_steps: 5"


def write_sweep(name: str, *, epochs: int, space: str, trainer: str = "devices: 1", more: str = "") -> str:
    """The file of a sweep over short trainings on a CPU."""
    Path(f"{name}.yaml").write_text(
        "recipe: digits_mlp\n"
        "objective: {metric: val/loss, mode: min}\n"
        f"fixed:\n  trainer: {{max_epochs: {epochs}, accelerator: cpu, {trainer}, {QUIET}}}\n"
        f"  callbacks.early_stopping: null\nspace:\n{space}{more}"
    )
    return f"{name}.yaml"


def begin(*words: str, wandb: str = "disabled") -> int:
    """Start the command in a process of its own; its output goes to `output.txt`."""

    def program() -> int:
        sys.stdout = sys.stderr = Path("output.txt").open("w")  # noqa: SIM115 - until the process ends
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        os.environ["WANDB_MODE"] = wandb
        os.environ["PYTHONPATH"] = str(ROOT)
        sys.argv = ["lightning-cv", *words]
        return main(list(words))

    return fork(program)


def command(*words: str, wandb: str = "disabled") -> None:
    """Run the command to its end, which is a good one."""
    assert end_of(begin(*words, wandb=wandb)) == 0, Path("output.txt").read_text()


def results_of(study: str) -> StudyResults:
    return find_study(study, Path("runs")).results()


def folder_of(trial: TrialResult) -> Path:
    assert trial.folder is not None
    return trial.folder


def validations(folder: Path) -> list[dict]:
    return [event for event in read_progress(folder) if event["event"] == "validation"]


def newest(folder: Path) -> dict:
    """The newest snapshot of a run."""
    path, _ = newest_valid(folder / "checkpoints", "last-*.ckpt")
    assert path is not None
    return torch.load(path, weights_only=True)


def assert_repeats(folder: Path) -> None:
    """The recipe in a trial's folder trains the same weights once more, in a run that is no trial."""
    again = Path("again") / folder.name
    command("fit", "--config", str(folder / "recipe.yaml"), "--run-dir", str(again))
    assert not (again / "trial.json").exists()
    weights, expected = newest(again)["state_dict"], newest(folder)["state_dict"]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [event["metrics"]["val/loss"] for event in validations(again)] == [
        event["metrics"]["val/loss"] for event in validations(folder)
    ]


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """A folder in which a coarse grid of 2 x 2 was searched by two workers, recorded by W&B offline."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rates, decays = "{log_uniform: [1.0e-3, 1.0e-2], points: 2}", "{log_uniform: [0.01, 1], points: 2}"
        path = write_sweep("grid", epochs=3, space=f"  {LR}: {rates}\n  {DECAY}: {decays}\n", more="sampler: grid\n")
        command("sweep", path, "--workers", "2", wandb="offline")
    return folder


@pytest.fixture
def searched(grid, monkeypatch) -> StudyResults:
    """Its results, seen from its folder."""
    monkeypatch.chdir(grid)
    return results_of("grid")


def test_a_coarse_grid_trains_each_pair_once_for_a_few_epochs(searched):
    """Rows 127 and 130: learning rates times weight decays, at most 5 epochs each."""
    pairs = [(trial.values[LR], trial.values[DECAY]) for trial in searched.trials]
    expected = [(rate, decay) for rate in (1e-3, 1e-2) for decay in (0.01, 1.0)]
    assert [round(math.log10(value), 9) for pair in sorted(pairs) for value in pair] == [
        math.log10(value) for pair in expected for value in pair
    ]
    for trial in searched.trials:
        assert trial.state == "complete"
        losses = [event["metrics"]["val/loss"] for event in validations(folder_of(trial))]
        assert len(losses) == 3
        assert trial.reported == dict(enumerate(losses, start=1))
        assert trial.scores == (min(losses),)


def test_each_trial_and_so_the_best_one_is_repeated_bit_for_bit_by_its_recipe(searched):
    """Oracle: the training of `runs/<study>/<trial>/recipe.yaml` by `fit`."""
    assert searched.ranked()[0].number in range(4)
    for trial in searched.trials:
        assert_repeats(folder_of(trial))


def test_the_sampled_values_are_those_that_trained(searched):
    """As the training echoes them, and as its snapshot holds them."""
    for trial in searched.trials:
        live = read_live_note(folder_of(trial))
        assert live is not None
        assert live.unknown == ()
        assert dict(live.values) == pytest.approx(dict(trial.values))
        groups = newest(folder_of(trial))["optimizer_states"][0]["param_groups"]
        assert {group["initial_lr"] for group in groups} == {trial.values[LR]}
        assert {group["weight_decay"] for group in groups} == {0.0, trial.values[DECAY]}
        recipe = yaml.safe_load((folder_of(trial) / "recipe.yaml").read_text())
        assert recipe["model"]["init_args"]["optimizer"]["init_args"]["lr"] == trial.values[LR]
