"""Does a sweep say beforehand what it will do, and how long that takes, without leaving anything behind?"""

from __future__ import annotations

import io
import re
import signal
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from lightning_cv.compare.settings import short_value
from lightning_cv.errors import DONE, PREEMPTED, UserError
from lightning_cv.record.progress import ProgressFile
from lightning_cv.record.trial import LiveNote, read_trial_note, write_live_note
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.engine import dry_run, probe
from lightning_cv.sweep.engine.dry_run import first_trials, print_plan
from lightning_cv.sweep.engine.probe import Estimate
from tests.processes import fork
from tests.sweep.searches import LR, ROOT, forked, place_of, write_sweep
from tests.sweep.watching import end_of
from tests.sweep.watching import no_leftovers as no_leftovers

STEP_S, STEPS = 0.05, 60
DECAY = "model.init_args.optimizer.init_args.weight_decay"
GRID = "sampler: {name: grid}"


def train(words: list[str]) -> int:
    """In a fork, in the place of a training: sixty steps of 0.05 s each, by its own clock, and the rest if not told to
    end; what `trainer.deed` says it does instead."""
    recipe = yaml.safe_load(Path(words[1]).read_text())
    folder = Path(words[words.index("--run-dir") + 1])
    deed, epochs = recipe["trainer"]["deed"], recipe["trainer"]["max_epochs"]
    if deed == "fails":
        print("error: the true reason")
        return 2
    if deed == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    assert recipe["trainer"]["logger"] is False
    note = read_trial_note(folder)
    assert note is not None
    assert note.values == {LR: recipe["model"]["init_args"]["optimizer"]["init_args"]["lr"]}
    total = None if deed == "endless" else STEPS * epochs
    write_live_note(folder, LiveNote(values=dict(note.values), total_steps=total))
    progress = ProgressFile()
    progress.open(folder)
    clock = (STEPS, STEPS * STEP_S)
    progress.append("validation", epoch=0, step=STEPS, metrics={"val/accuracy": 0.5}, clock=clock)
    if deed == "short":
        progress.append("end", epoch=1, step=STEPS, metrics={}, clock=clock)
        return DONE
    while not told:
        signal.pause()
    return DONE if deed == "ends" else PREEMPTED


@pytest.fixture(autouse=True)
def fake_training(monkeypatch):
    """The probe trains the function above, and takes what it has seen of it as enough."""

    def words(recipe, folder: Path, name: str, *, allow_code: tuple[str, ...]) -> tuple[list[str], str]:
        return ["x", "fit", str(folder / "trial.yaml"), "--run-dir", str(folder)], f"{__name__}:train"

    monkeypatch.setattr(probe, "command_words", words)
    monkeypatch.setattr(probe, "modules_of", lambda sweep, allow_code: [])
    monkeypatch.setattr(probe, "_SECONDS", 0.0)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def plan(path: Path, *, workers: int = 1) -> str:
    """What is printed."""
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_plan(console, read_sweep(path), Path("runs"), workers=workers, allow_code=())
    return console.file.getvalue()


def recipe_in(said: str) -> dict:
    """The recipe of trial 0 in a plan."""
    found = re.search(r"trial\.yaml of trial 0, run with [^\n]*\n\n(.*)\na short training", said, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


# The trials.


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("name: random", "name: qmc"), ("sampler: {name: random, seed: 3}", GRID)]
)
def test_the_trials_and_the_recipe_that_it_shows_are_those_that_the_sweep_then_trains(old, new):
    """Oracle: the sweep itself, over the fake program, with two workers."""
    path = write_sweep("s", trials=4)
    text = path.read_text().replace(old, new)
    path.write_text(text.replace("1.0e-1]}", "1.0e-1], points: 4}") if new == GRID else text)
    said = plan(path)
    planned = first_trials(read_sweep(path), 4)
    assert end_of(fork(forked(path, 2))) == 0
    trials = place_of(path).results().trials
    assert [dict(trial.values) for trial in trials] == planned
    rows = [line.split() for line in said.splitlines()[1:5]]
    assert rows == [[str(trial.number), short_value(trial.values[LR])] for trial in trials]
    assert recipe_in(said) == yaml.safe_load((trials[0].folder / "trial.yaml").read_text())


def test_of_a_sampler_that_learns_only_the_first_trial_is_known():
    """Its values are those that the sweep then begins with."""
    path = write_sweep("s", trials=7)
    path.write_text(path.read_text().replace("name: random", "name: tpe"))
    said = plan(path)
    assert "... and 6 more, which tpe draws from what was found until then" in said
    assert end_of(fork(forked(path, 1))) == 0
    assert said.splitlines()[1].split() == ["0", short_value(place_of(path).results().trials[0].values[LR])]


def test_parameters_under_a_condition_are_shown_where_they_are_drawn():
    more = """\
  data.init_args.batch_size: {choice: [16, 32]}
  model.init_args.optimizer.init_args.weight_decay: {log_uniform: [1.0e-4, 1.0], when: {data.init_args.batch_size: 16}}
"""
    trials = first_trials(read_sweep(write_sweep("s", trials=30, more=more)), 30)
    assert {values["data.init_args.batch_size"] for values in trials} == {16, 32}
    assert all((DECAY in values) == (values["data.init_args.batch_size"] == 16) for values in trials)


def test_nothing_is_left_in_the_working_folder_and_none_in_the_folder_for_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = write_sweep("s", trials=4)
    before = sorted(tmp_path.rglob("*"))
    assert "the study would be in runs/s" in plan(path)
    assert sorted(tmp_path.rglob("*")) == before


# The time.


@pytest.mark.parametrize(
    ("estimate", "trial_s"),
    [
        (Estimate(start_s=2.0, step_s=0.1, steps=50, total_steps=1000, whole_s=None), 102.0),
        (Estimate(start_s=2.0, step_s=0.1, steps=50, total_steps=50, whole_s=9.0), 9.0),
        (Estimate(start_s=2.0, step_s=0.1, steps=50, total_steps=None, whole_s=None), None),
        (Estimate(start_s=2.0, step_s=0.1, steps=50, total_steps=None, whole_s=9.0), 9.0),
    ],
)
def test_a_trial_takes_its_start_and_its_steps_or_what_it_took(estimate, trial_s):
    assert estimate.trial_s == trial_s


@pytest.mark.parametrize(
    ("number", "workers", "total"),
    [(8, 1, "13 min 36 s"), (8, 4, "3 min 24 s"), (9, 4, "5 min 6 s"), (3, 8, "1 min 42 s")],
)
def test_a_sweep_takes_as_long_as_the_worker_with_the_most_trials(number, workers, total):
    """By hand: 102 s a trial, times the number of rounds, rounded up."""
    estimate = Estimate(start_s=2.0, step_s=0.1, steps=50, total_steps=1000, whole_s=None)
    measured, time = dry_run._say(estimate, number, workers)
    assert measured == "measured: 50 steps of 1000, 100 ms each, 2 s to start"
    assert time.startswith(f"{number} trials of 1 min 42 s, {workers} at once: about {total}, if all train")


def test_a_training_without_end_has_no_estimate():
    said = plan(write_sweep("s", trials=4, deed="endless"))
    assert "60 steps without end, 50 ms each" in said
    assert "no estimate: set trainer.max_epochs or trainer.max_steps" in said


def test_the_probe_measures_steps_by_the_clock_of_the_training():
    """Sixty steps in 3 s; of a whole trial 360 steps."""
    sweep = read_sweep(write_sweep("s", trials=4))
    measured = probe.probe(sweep, sweep.composed.set(LR, value=0.01), {LR: 0.01}, allow_code=())
    assert (measured.step_s, measured.steps, measured.total_steps, measured.whole_s) == (STEP_S, 60, 360, None)
    assert measured.trial_s == measured.start_s + 360 * STEP_S
    assert measured.start_s >= 0


@pytest.mark.parametrize("deed", ["short", "ends"])
def test_a_trial_that_ends_while_it_is_measured_takes_as_long_as_it_took(deed):
    sweep = read_sweep(write_sweep("s", trials=4, deed=deed))
    measured = probe.probe(sweep, sweep.composed.set(LR, value=0.01), {LR: 0.01}, allow_code=())
    assert measured.trial_s == measured.whole_s
    assert measured.whole_s is not None


def test_a_trial_that_cannot_train_is_told_in_one_line_with_what_it_said():
    with pytest.raises(UserError, match=r"^trial 0 cannot train: the true reason$"):
        plan(write_sweep("s", trials=4, deed="fails"))


def test_a_trial_that_takes_no_step_and_does_not_listen_is_ended(monkeypatch):
    """After the time that it has for its first steps, and as much to save what it has."""
    monkeypatch.setattr(probe, "_PATIENCE_S", 0.5)
    with pytest.raises(UserError, match=r"^trial 0 took no step within .* s; no estimate$"):
        plan(write_sweep("s", trials=4, deed="deaf"))
