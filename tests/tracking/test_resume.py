"""Does a run that goes on after a crash have every point of its curves in W&B, once and in order?"""

import json

import pytest
import wandb

from lightning_cv.tracking import WandbTracker
from lightning_cv.tracking.segments import find_segments, read_segment
from tests.tracking.runs import point, train
from tests.tracking.server_stub import serving

STEPS = range(1, 13)


def logged(rows) -> list[tuple[int, dict[str, float]]]:
    """Rows as W&B has them, in the form of `expected`."""
    keys = point(1).keys()
    return [(row["trainer/global_step"], {key: row[key] for key in keys if key in row}) for row in rows]


def expected(steps):
    return [(step, pytest.approx(point(step))) for step in steps]


def offline_rows(folder) -> list:
    """What all segments say together; oracle: W&B's own reader."""
    return [row for segment in find_segments(folder, "one") for row in read_segment(segment).rows]


@pytest.mark.parametrize(
    ("first", "resumed_at"),
    [
        pytest.param(range(1, 8), 7, id="nothing lost"),
        pytest.param(range(1, 5), 7, id="rows before the checkpoint lost"),
        pytest.param(range(1, 10), 7, id="rows behind the checkpoint written"),
        pytest.param(range(1, 1), 7, id="everything lost"),
        pytest.param(range(1, 4), 0, id="resumed from the start"),
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_each_step_is_there_once_and_in_order_after_a_resume(tmp_path, log_in, first, resumed_at, online):
    """Oracle: the rows of a training that never stopped, in W&B's reader and in the memory of a server."""
    with serving() as server:
        if online:
            log_in(server.url)
        for steps, at in ((first, None), (range(resumed_at + 1, 13), resumed_at)):
            train(tmp_path / "one", steps, resumed_at=at)
        rows = server.runs["one"].history if online else offline_rows(tmp_path / "one")
        assert logged(rows) == expected(STEPS)
        assert len(server.runs) == (1 if online else 0)


def test_a_run_that_was_resumed_three_times_has_each_step_once(tmp_path, log_in):
    with serving() as server:
        log_in(server.url)
        for steps, at in ((range(1, 6), None), (range(4, 9), 3), (range(8, 10), 7), (range(10, 13), 9)):
            train(tmp_path / "one", steps, resumed_at=at)
        assert logged(server.runs["one"].history) == expected(STEPS)
    assert not any(segment.sent for segment in find_segments(tmp_path / "one", "one"))


@pytest.mark.parametrize(("rows", "summary_at"), [(6, 6), (6, 4), (9, 5), (0, 0)])
def test_what_the_server_lost_is_sent_again_also_where_its_summary_is_late(tmp_path, log_in, rows, summary_at):
    """A kill leaves the server with some rows, and the summary of an earlier one; resumed at step 7."""
    with serving() as server:
        log_in(server.url)
        train(tmp_path / "one", range(1, 11))
        run = server.runs["one"]
        del run.lines["wandb-history.jsonl"][rows:]
        kept = {**run.summary, "trainer/global_step": summary_at, "_step": summary_at - 1} if summary_at else {}
        run.lines["wandb-summary.json"] = [json.dumps(kept)]
        train(tmp_path / "one", range(8, 13), resumed_at=7)
        assert logged(run.history) == expected(STEPS)


def test_the_summary_has_the_best_and_the_range_of_the_whole_run(tmp_path, log_in):
    """The best was at step 4 and the greatest loss at step 1, both before the resume; oracle: the definition."""
    with serving() as server:
        log_in(server.url)
        train(tmp_path / "one", range(1, 8))
        assert server.runs["one"].summary["val/accuracy"] == 0.9
        train(tmp_path / "one", range(8, 13), resumed_at=7)
        summary = server.runs["one"].summary
    assert summary["val/accuracy"] == 0.9
    assert summary["train/loss"] == pytest.approx({"min": 1 / 12, "max": 1.0, "last": 1 / 12})
    assert summary["trainer/global_step"] == 12
    assert summary["epoch"] == 2


@pytest.mark.parametrize("ends", [True, False])
def test_the_range_is_that_of_the_whole_run_at_its_end_and_if_it_is_killed_before(tmp_path, log_in, ends):
    """The run ends with points without validation, or is left by its process after one with; the max was at step 1."""
    with serving() as server:
        log_in(server.url)
        train(tmp_path / "one", range(1, 8))
        tracker = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
        tracker.watch_metric("val/accuracy", "max")
        tracker.resume(7, [(step, point(step)) for step in range(1, 8)])
        tracker.log_metrics({"train/loss": 0.1} if ends else point(8), step=8)
        tracker.log_metrics({"train/loss": 0.1}, step=9)
        if ends:
            tracker.finish()
        wandb.teardown()
        assert server.runs["one"].summary["train/loss"]["max"] == 1.0


def test_a_best_after_the_resume_is_taken_and_min_means_the_least(tmp_path, log_in):
    with serving() as server:
        log_in(server.url)
        for steps, values, at in (((1, 2), (3.0, 5.0), None), ((3, 4), (2.0, 4.0), 2)):
            tracker = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
            tracker.watch_metric("val/loss", "min")
            if at:
                tracker.resume(at, [(1, {"val/loss": 3.0}), (2, {"val/loss": 5.0})])
            for step, value in zip(steps, values, strict=True):
                tracker.log_metrics({"val/loss": value}, step=step)
            tracker.finish()
            assert server.runs["one"].summary["val/loss"] == min(values)


def test_keys_that_wandb_lacks_at_a_step_are_still_sent(tmp_path):
    """The process was killed between the training's point of step 2 and the validation's."""
    tracker = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=1)
    tracker.log_metrics({"train/loss": 0.5, "epoch": 0}, step=2)
    tracker.finish(1)
    tracker = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
    both = {"train/loss": 0.5, "val/accuracy": 0.7, "epoch": 0}
    tracker.resume(2, [(1, {"train/loss": 1.0, "epoch": 0}), (2, both)])
    tracker.finish()
    rows = offline_rows(tmp_path / "one")
    assert [row["trainer/global_step"] for row in rows] == [1, 2, 2]
    assert "train/loss" not in rows[2]
    assert rows[2]["val/accuracy"] == 0.7


def test_a_run_that_goes_on_online_takes_what_waited_offline_along(tmp_path, log_in):
    """It has the curves of both parts, and nothing waits to be sent a second time."""
    train(tmp_path / "one", range(1, 8), exit_code=1)
    with serving() as server:
        log_in(server.url)
        train(tmp_path / "one", range(8, 13), resumed_at=7)
        assert logged(server.runs["one"].history) == expected(STEPS)
    parts = find_segments(tmp_path / "one", "one")
    assert [(segment.offline, segment.sent) for segment in parts] == [(True, True), (False, False)]


def test_a_run_that_an_interrupted_training_left_open_goes_on_in_the_same_process(tmp_path):
    """As in a notebook: the first tracker was never finished."""
    left_open = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
    for step in range(1, 9):
        left_open.log_metrics(point(step), step=step)
    train(tmp_path / "one", range(8, 13), resumed_at=7)
    assert logged(offline_rows(tmp_path / "one")) == expected(STEPS)


def test_a_segment_that_cannot_be_read_is_made_up_for(tmp_path):
    """The second of three parts is a dead file of 7 bytes: its points are in the third."""
    train(tmp_path / "one", range(1, 4), exit_code=1)
    dead = tmp_path / "one" / "wandb" / "offline-run-20990101_000000-one"
    dead.mkdir()
    (dead / "run-one.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    train(tmp_path / "one", range(8, 13), resumed_at=7)
    assert sorted(step for step, _ in logged(offline_rows(tmp_path / "one"))) == [*STEPS]


def test_a_resume_that_fails_does_not_stop_training(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_cv.tracking.wandb.find_segments", lambda *arguments: 1 / 0)
    tracker = WandbTracker(save_dir=str(tmp_path / "one"), id="one")
    with pytest.warns(UserWarning, match="what came before the resume .ZeroDivisionError"):
        tracker.resume(1, [])
    tracker.log_metrics(point(2), step=2)
    tracker.finish()
    assert logged(offline_rows(tmp_path / "one")) == expected([2])
