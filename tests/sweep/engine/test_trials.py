"""Is a trial of a sweep an ordinary training, with the values that it was told, however it comes to its end?"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lightning_cv.cli.main import main
from lightning_cv.compare.offline import read_offline
from lightning_cv.launch.alive import process_mark
from lightning_cv.record.manifest import newest_valid
from lightning_cv.record.progress import read_progress
from lightning_cv.record.trial import read_live_note, read_trial_note
from lightning_cv.record.wandb_file import read_records
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.engine.session import find_study
from tests.processes import fork
from tests.sweep.searches import ROOT
from tests.sweep.watching import all_gone, children_of, end_of, lines, until
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


def test_a_trial_is_a_run_of_the_studys_group_in_wandb_and_the_study_is_one_run(searched):
    """Read from the files that W&B would send, with W&B's own reader."""
    for trial in searched.trials:
        [file] = folder_of(trial).glob("wandb/offline-run-*/run-*.wandb")
        records = read_records(file)
        who = next(record["run"] for record in records if record.get("type") == "run")
        assert (who["run_id"], who["run_group"], who["job_type"]) == (folder_of(trial).name, "grid", "trial")
        config = next(record["config"]["update"] for record in records if record.get("type") == "config")
        assert config["trial"] == {"study": "grid", "number": trial.number}
    files = list(Path("runs/grid").rglob("*.wandb"))
    assert len(files) == 5
    [study] = [file for file in files if ".study" in file.parts]
    who = next(record["run"] for record in read_records(study) if record.get("type") == "run")
    assert (who["run_group"], who["job_type"]) == ("grid", "sweep")


def test_a_hopeless_rate_is_pruned_at_a_reported_epoch_and_the_study_goes_on(tmp_path):
    """Row 134. Oracle: the median of the two others at that validation."""
    space = f"  {LR}: {{choice: [0.003, 0.004, 1.0e-7]}}\n"
    more = "sampler: grid\npruner: {name: median, n_startup_trials: 2}\n"
    path = write_sweep("pruned", epochs=30, space=space, more=more)
    command("sweep", path, "--trials", "2")
    first = results_of("pruned").trials
    assert [trial.state for trial in first] == ["complete", "complete"]
    command("sweep", "runs/pruned", "--trials", "3")
    trials = results_of("pruned").trials
    assert trials[:2] == first
    pruned = trials[2]
    assert (pruned.state, pruned.reason) == ("pruned", "median pruner, after validation 1")
    assert pruned.reported[1] > (first[0].reported[1] + first[1].reported[1]) / 2
    losses = [event["metrics"]["val/loss"] for event in validations(folder_of(pruned))]
    assert 1 <= len(losses) < 30
    assert pruned.scores == (losses[0],)
    note = read_trial_note(folder_of(pruned))
    assert note is not None
    assert (note.state, note.reason) == (pruned.state, pruned.reason)


def test_a_trial_that_is_killed_goes_on_from_its_snapshot_to_the_same_end(tmp_path):
    """Two objectives; oracles: the undisturbed training of its recipe, and the size of a perceptron in closed form."""
    path = write_sweep("killed", epochs=12, space=f"  {HIDDEN}: {{choice: [[16], [32]]}}\n", more="sampler: grid\n")
    both = "[{metric: val/loss, mode: min}, {metric: run/parameters, mode: min}]"
    Path(path).write_text(Path(path).read_text().replace("{metric: val/loss, mode: min}", both, 1))
    parent = begin("sweep", path, wandb="offline")
    until(
        lambda: sum('"validation"' in line for file in Path("runs").rglob("progress.jsonl") for line in lines(file)) > 3
    )
    [server] = children_of(parent)
    [trial] = children_of(server)
    os.kill(trial, signal.SIGKILL)
    assert end_of(parent) == 0, Path("output.txt").read_text()
    trials = results_of("killed").trials
    assert [trial.state for trial in trials] == ["complete", "complete"]
    for trial, hidden in zip(trials, (16, 32), strict=True):
        folder = folder_of(trial)
        assert trial.scores == (
            min(event["metrics"]["val/loss"] for event in validations(folder)),
            64 * hidden + hidden + hidden * 10 + 10,
        )
        kinds = [json.loads(line)["event"] for line in lines(folder / "progress.jsonl")]
        assert kinds.count("resume") == (hidden == 16)
        assert kinds[-1] == "end"
        files = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
        # A killed W&B may have written nothing yet; what it lacks is told again when the run goes on.
        assert 1 <= len(files) <= 1 + (hidden == 16)
        assert {file.name for file in files} == {f"run-{folder.name}.wandb"}
        curve = read_offline([file.parent for file in files]).curves["val/loss"]
        steps = [event["step"] for event in validations(folder)]
        assert list(curve.steps) == steps, (files, Path("output.txt").read_text())
        losses = [event["metrics"]["val/loss"] for event in validations(folder)]
        assert list(curve.values) == pytest.approx(losses, rel=1e-6)  # to float32
    assert_repeats(folder_of(trials[0]))


def test_a_part_that_ignores_its_rate_fails_the_trial(tmp_path):
    """The recipe holds the sampled value, the optimizer another one: the score would be of that."""
    path = write_sweep("deaf", epochs=2, space=f"  {LR}: {{log_uniform: [0.001, 0.01]}}\n", more="trials: 2\n")
    optimizer = "  model.init_args.optimizer: {class_path: tests.sweep.deaf.DeafSgd, init_args: {lr: 0.1}}\n"
    Path(path).write_text(Path(path).read_text().replace("fixed:\n", f"fixed:\n{optimizer}"))
    command("sweep", path, "--allow-code", "tests", "--workers", "2")
    for trial in results_of("deaf").trials:
        assert trial.state == "failed"
        told = f"sampled values never reached training: {LR}: sampled {trial.values[LR]!r}, live 0.25"
        assert trial.reason == told


def test_a_trial_on_two_devices_is_one_run_and_both_processes_end_when_it_is_pruned(tmp_path):
    """Two processes that Lightning starts by running the command again: they draw nothing themselves."""
    space = f"  {LR}: {{choice: [0.003, 1.0e-7]}}\n"
    more = "sampler: grid\npruner: {name: median, n_startup_trials: 1}\n"
    path = write_sweep("ddp", epochs=20, space=space, trainer="devices: 2, strategy: ddp", more=more)
    parent = begin("sweep", path, wandb="offline")
    marks: set[str] = set()
    commands: set[bytes] = set()

    def watch(number: int) -> set[bytes]:
        """The command lines of the trial's processes; a program that one of them starts has its own for a moment."""
        found = {process_mark(pid): line for pid, line in processes_of(f"trial-{number:03d}-").items()}
        alive = {mark: line for mark, line in found.items() if not mark.endswith("/0")}  # one with that has just ended
        marks.update(alive)
        commands.update(alive.values())
        return set(alive.values())

    until(lambda: len(watch(0)) == 2)
    until(lambda: len(watch(1)) == 2)
    until(lambda: (watch(1), results_of("ddp").trials[1].state)[1] == "pruned")
    assert len(commands) == 4
    until(lambda: all_gone(sorted(marks)), polls=300)
    assert end_of(parent) == 0, Path("output.txt").read_text()
    trials = results_of("ddp").trials
    assert [(trial.state, trial.values[LR]) for trial in trials] == [("complete", 0.003), ("pruned", 1e-7)]
    for trial in trials:
        live = read_live_note(folder_of(trial))
        assert live is not None
        assert dict(live.values) == dict(trial.values)
        assert len(list(folder_of(trial).rglob("*.wandb"))) == 1
    assert len(list(Path("runs/ddp").glob("trial-*"))) == 2


def processes_of(name: str) -> dict[int, bytes]:
    """The processes whose command line names the folder of this trial, and these lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        words = line.split(b"\0")
        if any(os.fsencode(f"runs/ddp/{name}") in word for word in words) and b"--run-dir" in words:
            found[int(path.parent.name)] = line
    return found
