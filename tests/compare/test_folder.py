"""Is the folder of a run read right, however the run ended?"""

import json
import math
import os
import time

import pytest

from lightning_cv.compare.comparison import compare
from lightning_cv.compare.find import find_places, read_runs
from lightning_cv.compare.folder import read_folder
from lightning_cv.compare.run import duration
from lightning_cv.compare.table import make_table
from lightning_cv.record.trial import TrialNote, write_trial_note
from tests.compare.maker import RECIPE, event, history, make_run, recipe


def test_a_completed_run_is_read():
    """Oracle: what the maker wrote: three validations, 30 steps of 64 images and 0.1 s."""
    run = read_folder(make_run("runs/digits/abc"))
    assert (run.run_id, run.name, run.source, run.status) == ("abc", "digits", "runs/digits/abc", "completed")
    assert (run.steps, run.epochs, run.samples, run.time_s, run.samples_per_s) == (30, 3, 1920, 3.0, 640.0)
    assert (run.seed, run.monitor, run.mode) == (0, "val/accuracy", "max")
    assert run.recipe == RECIPE
    assert run.training["parameters"] == 78042
    assert (run.wandb.project, run.wandb.run_id) == ("digits", "abc")
    assert run.notes == ()


def test_validations_give_the_curves_of_val_and_the_curve_events_those_of_training():
    """A validation repeats the training's latest loss, which is no new point; nor are its values two points."""
    curves = read_folder(make_run("run")).curves
    assert list(curves["val/accuracy"].steps) == [10, 20, 30]
    assert list(curves["val/accuracy"].values) == [0.5, 0.7, 0.6]
    assert list(curves["train/loss"].steps) == [5, 10, 15, 20, 25, 30]
    assert list(curves["train/loss"].values) == [1 / step for step in (5, 10, 15, 20, 25, 30)]
    assert list(curves["train/loss"].x("samples")) == [64 * step for step in (5, 10, 15, 20, 25, 30)]
    assert list(curves["val/loss"].x("time")) == [1.0, 2.0, 3.0]
    assert list(curves["val/loss"].x("epoch")) == [0, 1, 2]


def test_lines_with_different_metrics_make_one_curve_in_their_order():
    events = [event("curve", 1, {"a": 1.0}), event("curve", 2, {"a": 2.0, "b": 9.0}), event("curve", 3, {"a": 3.0})]
    curves = read_folder(make_run("run", events)).curves
    assert list(curves["a"].steps) == [1, 2, 3]
    assert list(curves["a"].values) == [1.0, 2.0, 3.0]
    assert list(curves["b"].steps) == [2]


def test_the_epoch_that_lightning_logs_beside_the_metrics_is_none():
    assert set(read_folder(make_run("run", [event("curve", 1, {"a": 1.0, "epoch": 0})])).curves) == {"a"}


def test_without_curve_events_validations_tell_of_the_training_too():
    events = [
        event("validation", 10, {"val/accuracy": 0.5, "train/loss": 1.0}),
        event("end", 10, {"train/loss": 1.0}, status="completed"),
    ]
    assert list(read_folder(make_run("run", events)).curves["train/loss"].values) == [1.0]


def test_without_validation_epochs_tell():
    events = [event("epoch", 10, {"train/loss": 1.0}), event("epoch", 20, {"train/loss": 0.5})]
    run = read_folder(make_run("run", events))
    assert list(run.curves["train/loss"].values) == [1.0, 0.5]


def test_the_test_split_has_its_own_metric_and_a_later_validate_changes_no_curve():
    late = [
        event("validate", 30, {"val/accuracy": 0.99}),
        event("test", 30, {"test/accuracy": 0.65, "val/accuracy": 0.1}),
    ]
    run = read_folder(make_run("run", history([0.5, 0.6, 0.7]) + late))
    assert list(run.curves["test/accuracy"].values) == [0.65]
    assert list(run.curves["val/accuracy"].values) == [0.5, 0.6, 0.7]
    assert run.status == "completed"


@pytest.mark.parametrize("status", ["completed", "preempted", "interrupted", "failed"])
def test_the_end_event_says_how_a_run_ended(status):
    events = [*history([0.5], last=False), event("end", 10, {}, status=status, error="ValueError: no")]
    run = read_folder(make_run("run", events))
    assert (run.status, run.status_text, run.error) == (status, status, "ValueError: no")


def test_a_resumed_run_counts_once_and_goes_on_from_its_checkpoint():
    """Killed after step 20 and resumed from step 10: the second half is told once."""
    first = history([0.5, 0.1], last=False)
    resumed = [event("resume", 10, {}, kept=3), *history([0.5, 0.7, 0.6])[3:]]
    curve = read_folder(make_run("run", first + resumed)).curves["val/accuracy"]
    assert list(curve.steps) == [10, 20, 30]
    assert list(curve.values) == [0.5, 0.7, 0.6]


def test_a_run_that_was_preempted_and_trains_again_is_not_preempted():
    events = [*history([0.5], last=False), event("end", 10, {}, status="preempted"), event("resume", 10, {}, kept=4)]
    assert read_folder(make_run("run", events)).status == "unfinished"


@pytest.mark.parametrize(("silent_s", "said"), [(30, "running? wrote 30 s ago"), (7200, "killed? silent for 2 h")])
def test_a_run_without_an_end_says_since_when_it_is_silent(silent_s, said):
    path = make_run("run", history([0.5], last=False)) / "progress.jsonl"
    os.utime(path, (time.time() - silent_s,) * 2)
    assert read_folder(path.parent).status_text == said


def note(path, state: str, reason: str = "") -> None:
    write_trial_note(path, TrialNote("study", 3, "trial", {}, state=state, reason=reason))


ENDS = {
    "stopped": [event("end", 10, {}, status="preempted", error="Preempted: SIGTERM received")],
    "running": [],
    "completed": [event("end", 10, {}, status="completed")],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_the_sweep_says_how_a_trial_ended_that_it_stopped(end, state):
    """Row 134: also one that was killed, or went on past its last validation; its scores stay."""
    path = make_run("study/t3", [*history([0.5], last=False), *ENDS[end]])
    note(path, state, "below the median at step 1")
    run = read_folder(path)
    assert (run.status, run.status_text, run.error) == (state, state, "below the median at step 1")
    assert run.idle_s is None
    assert list(run.curves["val/accuracy"].values) == [0.5]


def test_a_training_that_failed_says_why_itself():
    path = make_run("study/t3", [*history([0.5], last=False), event("end", 10, {}, status="failed", error="E: no")])
    note(path, "failed", "exit status 4")
    assert (read_folder(path).status, read_folder(path).error) == ("failed", "E: no")


@pytest.mark.parametrize("state", ["running", "complete", "waiting"])
def test_a_trial_of_which_the_sweep_says_no_end_is_read_as_any_run(state):
    path = make_run("study/t3", history([0.5], last=False))
    note(path, state)
    assert read_folder(path).status == "unfinished"
    assert read_folder(path).status_text.startswith("running? ")
    assert read_folder(make_run("study/t3", history([0.5]))).status == "completed"
    (path / "trial.json").write_text("{")
    assert read_folder(path).status == "completed"


def test_a_trial_that_never_trained_is_failed_too():
    path = make_run("study/t3", [])
    note(path, "failed", "no memory")
    assert (read_folder(path).status, read_folder(path).error) == ("failed", "no memory")


def test_the_table_shows_a_pruned_trial_beside_the_others_and_its_twin():
    """Two trials of one recipe and seed, one pruned: nothing is wrong with what both have."""
    note(make_run("study/t3", history([0.5], last=False)), "pruned", "below the median")
    make_run("study/t4")
    comparison = compare(read_runs(find_places(["study"])))
    assert make_table(comparison).column("status").texts == ("pruned", "completed")
    (twins,) = comparison.twins
    assert twins.agree


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.62, "0.6 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (3600, "1 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("missing", ["provenance.json", "progress.jsonl", "recipe.yaml"])
def test_a_missing_file_leaves_the_rest_readable(missing):
    path = make_run("run")
    (path / missing).unlink()
    run = read_folder(path)
    assert run.run_id == "run"
    assert (run.training == {}) == (missing == "provenance.json")
    assert (run.recipe is None) == (missing == "recipe.yaml")
    assert (run.status == "nothing recorded") == (missing == "progress.jsonl")
    assert [missing in note for note in run.notes] == ([] if missing == "provenance.json" else [True])


@pytest.mark.parametrize("broken", ["provenance.json", "recipe.yaml"])
def test_a_broken_file_is_a_note_that_names_it(broken):
    path = make_run("run")
    (path / broken).write_text("a: [")
    (note,) = read_folder(path).notes
    assert note.startswith(f"run/{broken}")


def test_values_that_are_no_numbers_and_torn_lines_are_survived():
    path = make_run("run", [event("curve", 1, {"a": "NaN", "b": None}), event("curve", 2, {"a": 2.0, "b": [1]})])
    with (path / "progress.jsonl").open("a") as file:
        file.write('{"event": "curve", "ste')
    curves = read_folder(path).curves
    assert math.isnan(curves["a"].values[0])
    assert curves["a"].values[1] == 2.0
    assert "b" not in curves


def test_an_empty_file_is_nothing_recorded():
    run = read_folder(make_run("run", []))
    assert (run.status, run.curves, run.steps, run.samples_per_s) == ("nothing recorded", {}, None, None)


def test_the_seed_is_the_recipes_or_where_that_says_any_the_one_that_was_drawn():
    path = make_run("run", values=recipe(seed_everything=True))
    (path / "provenance.json").write_text(json.dumps({"seed": 77}))
    assert read_folder(path).seed == 77
    assert read_folder(make_run("other", values=recipe(seed_everything=5))).seed == 5


def test_the_task_names_its_metric_where_the_recipe_does_not():
    values = recipe(callbacks__snapshot__init_args={"monitor": None, "mode": None})
    path = make_run("run", values=values, training={"monitor": "val/loss", "mode": "min"})
    assert (read_folder(path).monitor, read_folder(path).mode) == ("val/loss", "min")


def test_the_metric_of_the_snapshot_is_the_monitored_one_wherever_it_stands():
    values = recipe()
    stop = {"class_path": "lightning_cv.callbacks.EarlyStopping", "init_args": {"monitor": "val/loss", "mode": "min"}}
    values["callbacks"] = {"early_stopping": stop, **values["callbacks"]}
    run = read_folder(make_run("run", values=values))
    assert (run.monitor, run.mode) == ("val/accuracy", "max")
    del values["callbacks"]["snapshot"]
    run = read_folder(make_run("other", values=values))
    assert (run.monitor, run.mode) == ("val/loss", "min")


def test_numbers_of_a_recipe_read_as_recipes_are_read():
    """`1e-3` is a number there, and a date is a text; aliases are read too."""
    path = make_run("run")
    (path / "recipe.yaml").write_text("a: 1e-3\nb: 2024-01-01\nc: &x [1]\nd: *x\n")
    assert read_folder(path).recipe == {"a": 0.001, "b": "2024-01-01", "c": [1], "d": [1]}
    (path / "recipe.yaml").write_text("a: 1e-3\nb: 2024-01-01\n")
    assert read_folder(path).recipe == {"a": 0.001, "b": "2024-01-01"}
