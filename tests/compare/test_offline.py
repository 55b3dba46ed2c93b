"""Are offline W&B runs that this platform did not write read as one run each?"""

import math
import os
import shutil
import time
from pathlib import Path

import pytest
import wandb

from lightning_cv.compare.find import find_places, read_runs
from lightning_cv.compare.offline import read_offline


@pytest.fixture(autouse=True)
def own_user(tmp_path, monkeypatch):
    """Home is empty, and no W&B service is shared between tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    yield
    wandb.teardown()


def record(run_id, rows, config=None, *, exit_code=0, name=None):
    """One part of an offline run, as any script writes it; returns its directory."""
    run = wandb.init(
        mode="offline", dir=".", project="other", id=run_id, name=name, config=config or {}, reinit="finish_previous"
    )
    for row in rows:
        run.log(row)
    folder = Path(run.dir).parent
    run.finish(exit_code=exit_code)
    return folder


def test_a_run_of_any_script_is_read():
    """Oracle: what was logged."""
    config = {"lr": 0.1, "seed": 4, "net": {"depth": 3}}
    folder = record(
        "abc", [{"val/acc": 0.5}, {"val/acc": math.nan}, {"val/acc": 0.75, "note": "text"}], config, name="first"
    )
    run = read_offline([folder])
    assert (run.run_id, run.name, run.status, run.seed) == ("abc", "first", "completed", 4)
    assert run.recipe == config
    curve = run.curves["val/acc"]
    assert list(curve.steps) == [0, 1, 2]
    assert curve.values[0] == 0.5
    assert math.isnan(curve.values[1])
    assert curve.values[2] == 0.75
    assert set(run.curves) == {"val/acc"}
    assert (run.wandb.project, run.wandb.run_id) == ("other", "abc")


def test_a_run_that_failed_says_so():
    assert read_offline([record("abc", [{"loss": 1.0}], exit_code=3)]).status == "failed"


def test_parts_of_one_run_are_merged_in_the_order_of_their_start():
    """A later part that goes on from a checkpoint takes the steps behind it back."""
    one = record("abc", [{"loss": float(step), "trainer/global_step": step} for step in range(6)])
    two = record("abc", [{"loss": 10.0 * step, "trainer/global_step": step} for step in range(4, 8)])
    run = read_offline([two, one])
    assert list(run.curves["loss"].steps) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert list(run.curves["loss"].values) == [0.0, 1.0, 2.0, 3.0, 40.0, 50.0, 60.0, 70.0]
    assert list(run.curves["loss"].times_s) == sorted(run.curves["loss"].times_s)
    assert run.steps == 7


def test_parts_that_do_not_know_the_trainers_step_are_counted_through():
    one = record("abc", [{"loss": 1.0}, {"loss": 2.0}])
    two = record("abc", [{"loss": 3.0}, {"loss": 4.0}])
    curve = read_offline([one, two]).curves["loss"]
    assert list(curve.steps) == [0, 1, 2, 3]
    assert list(curve.values) == [1.0, 2.0, 3.0, 4.0]


def test_a_file_that_is_torn_gives_what_came_before_and_is_unfinished():
    folder = record("abc", [{"loss": float(n)} for n in range(200)])
    (file,) = folder.glob("*.wandb")
    file.write_bytes(file.read_bytes()[:-3000])
    os.utime(file, (time.time() - 90_000,) * 2)
    run = read_offline([folder])
    values = list(run.curves["loss"].values)
    assert 0 < len(values) < 200
    assert values == [float(n) for n in range(len(values))]
    assert run.status_text == "killed? silent for 1 d 1 h"


def test_a_part_that_was_killed_at_once_is_a_note_and_the_others_count():
    whole = record("abc", [{"loss": 1.0}])
    dead = whole.with_name("offline-run-20200101_000000-abc")
    shutil.copytree(whole, dead)
    (file,) = dead.glob("*.wandb")
    file.write_bytes(file.read_bytes()[:7])
    run = read_offline([dead, whole])
    assert list(run.curves["loss"].values) == [1.0]
    assert "holds no run" in run.notes[0]
    alone = read_offline([dead])
    assert (alone.run_id, alone.status, alone.curves) == ("abc", "nothing recorded", {})


def test_directories_that_lie_side_by_side_are_found_as_their_runs():
    record("abc", [{"loss": 1.0}])
    record("abc", [{"loss": 2.0}])
    record("xyz", [{"loss": 3.0}])
    runs = read_runs(find_places(["wandb"]))
    assert {run.run_id: len(run.curves["loss"].values) for run in runs} == {"abc": 2, "xyz": 1}
    words = [str(path) for path in Path("wandb").glob("offline-run-*")]
    assert len(find_places([*words, "wandb"])) == 2
    (file,) = Path("wandb").glob("*-xyz/*.wandb")
    assert [run.run_id for run in read_runs(find_places([str(file)]))] == ["xyz"]
