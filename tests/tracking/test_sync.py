"""Does everything that a run measured reach W&B when it is sent later, once and in order, whatever went wrong?"""

import fcntl
import os
import shutil
import threading
from bisect import bisect_left

import pytest

from lightning_cv.errors import UserError
from lightning_cv.tracking import sync
from lightning_cv.tracking.segments import find_segments, read_segment
from lightning_cv.tracking.sync import check_server, send
from lightning_cv.tracking.waiting import find_waiting
from tests.tracking.runs import measure, point, train
from tests.tracking.server_stub import serving

HASTE = dict.fromkeys(sync.BOUNDS, "1")


@pytest.fixture
def server(log_in, monkeypatch):
    """A server that this user is logged in to, and little patience with it."""
    for name, value in HASTE.items():
        monkeypatch.setenv(name, value)
    with serving() as stub:
        log_in(stub.url)
        yield stub


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Train parts of run `one` without a network: `offline(steps, ...)`."""

    def offline(steps, **options):
        monkeypatch.setenv("WANDB_MODE", "offline")
        train(tmp_path / "one", steps, **options)
        monkeypatch.setenv("WANDB_MODE", "online")

    return offline


def send_one(folder):
    """Find and send one run."""
    (run,) = find_waiting([str(folder)])
    return send(run)


def test_an_offline_run_in_two_parts_is_one_run_with_each_step_once(tmp_path, server, offline):
    """Settings, tags, group and the best come along; a second call sends nothing. Nothing is written elsewhere."""
    offline(range(1, 8), exit_code=1)
    offline(range(6, 11), resumed_at=5)
    measure(tmp_path / "one", range(1, 11))
    outcome = send_one(tmp_path / "one")
    assert (outcome.status, outcome.segments, outcome.rows) == ("sent", 2, 0)
    run = server.runs["one"]
    assert run.steps == [*range(1, 11)]
    assert [row["train/loss"] for row in run.history] == pytest.approx([1 / step for step in range(1, 11)])
    assert run.settings == {"model": {"lr": 0.1}}
    assert (run.project, run.facts["groupName"], run.facts["tags"]) == ("digits", "seeds", ["small"])
    assert run.summary["val/accuracy"] == 0.9
    assert run.exit_code == 0
    asked = len(server.asked)
    assert send_one(tmp_path / "one").status == "already sent"
    assert len(server.asked) == asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "one"]


def test_rows_that_a_killed_run_had_not_given_to_wandb_come_from_its_own_record(tmp_path, server, offline):
    """The log is cut within a record, as by a kill; W&B gets all ten steps, and the run counts as failed."""
    offline(range(1, 11))
    measure(tmp_path / "one", range(1, 11))
    (segment,) = find_segments(tmp_path / "one", "one")
    data = segment.file.read_bytes()
    segment.file.write_bytes(data[: len(data) * 2 // 3])
    os.utime(segment.file, (0, 0))
    outcome = send_one(tmp_path / "one")
    assert outcome.status == "sent"
    assert 0 < outcome.rows < 10
    assert server.runs["one"].steps == [*range(1, 11)]
    assert [row["epoch"] for row in server.runs["one"].history] == [point(step)["epoch"] for step in range(1, 11)]
    assert server.runs["one"].summary["train/loss"] == pytest.approx({"min": 0.1, "max": 1.0, "last": 0.1})
    assert server.runs["one"].exit_code == 1
    assert send_one(tmp_path / "one").status == "already sent"


@pytest.mark.parametrize("beyond", [-30, -1, 0, 30])
def test_a_kill_between_a_rows_summary_and_the_row_loses_nothing(tmp_path, server, offline, beyond):
    """The log ends just before, and just behind, the end of the sixth row: the server has its summary in both cases."""
    offline(range(1, 11))
    measure(tmp_path / "one", range(1, 11))
    (segment,) = find_segments(tmp_path / "one", "one")
    data = segment.file.read_bytes()

    def cut(size: int) -> int:
        segment.file.write_bytes(data[:size])
        return len(read_segment(segment).rows)

    end = bisect_left(range(len(data)), 6, key=cut)
    assert cut(end + beyond) == (6 if beyond >= 0 else 5)
    os.utime(segment.file, (0, 0))
    assert send_one(tmp_path / "one").status == "sent"
    assert server.runs["one"].steps == [*range(1, 11)]


def test_a_dead_segment_does_not_hold_up_the_others(tmp_path, server, offline):
    """wandb's own command would send nothing at all, and say that all is well."""
    offline(range(1, 6))
    dead = tmp_path / "one" / "wandb" / "offline-run-20200101_000000-one"
    dead.mkdir()
    (dead / "run-one.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    assert send_one(tmp_path / "one").status == "sent"
    assert server.runs["one"].steps == [*range(1, 6)]


def test_a_segment_of_garbage_is_told_of_and_the_rest_is_sent(tmp_path, server, offline):
    offline(range(1, 6))
    bad = tmp_path / "one" / "wandb" / "offline-run-20200101_000000-one"
    bad.mkdir()
    (bad / "run-one.wandb").write_bytes(b"x" * 5000)
    outcome = send_one(tmp_path / "one")
    assert (outcome.status, outcome.segments, outcome.is_loss) == ("unreadable", 1, True)
    assert server.runs["one"].steps == [*range(1, 6)]


@pytest.mark.parametrize("taken", [0, 3])
def test_an_upload_that_breaks_off_is_a_failure_and_the_next_call_sends_the_rest(tmp_path, server, offline, taken):
    """The server takes nothing, or the settings and three rows; wandb marks the segment as sent all the same."""
    offline(range(1, 6))
    measure(tmp_path / "one", range(1, 6))

    def hang_up(name: str) -> None:
        if name == "file_stream":
            raise ConnectionError

    server.before = hang_up
    outcome = send_one(tmp_path / "one")
    assert outcome.status == "failed"
    assert "Fatal error while uploading" in outcome.reason
    (segment,) = find_segments(tmp_path / "one", "one")
    assert not segment.sent
    if taken:
        rows = [{**point(step), "trainer/global_step": step, "_step": step - 1} for step in range(1, taken + 1)]
        server.keep("one", rows)
    else:
        server.runs.clear()
    server.before = lambda name: None
    outcome = send_one(tmp_path / "one")
    assert (outcome.status, outcome.rows) == ("sent", 5 - taken)
    assert server.runs["one"].steps == [*range(1, 6)]
    assert server.runs["one"].settings == {"model": {"lr": 0.1}}
    assert segment.sent


def test_a_server_that_hangs_is_left_in_the_end(tmp_path, server, offline):
    """It takes connections and says nothing to the first question of an upload."""
    offline(range(1, 6))
    waits = threading.Event()
    server.before = lambda name: waits.wait(60) if name == "UpsertBucket" else None
    outcome = send_one(tmp_path / "one")
    waits.set()
    assert outcome.status == "failed"
    assert "Timed out" in outcome.reason
    (segment,) = find_segments(tmp_path / "one", "one")
    assert not segment.sent
    assert not segment.torn_marker.exists()  # nothing arrived, so that wandb's own command may try again


def test_a_run_that_is_being_trained_is_not_sent(tmp_path, server, offline):
    offline(range(1, 6))
    with (tmp_path / "one" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert send_one(tmp_path / "one").status == "still being written"
        assert server.asked == []
    assert send_one(tmp_path / "one").status == "sent"


def test_a_run_of_others_that_was_just_written_to_and_has_no_end_is_not_sent(tmp_path, server, offline):
    offline(range(1, 6))
    (segment,) = find_segments(tmp_path / "one", "one")
    segment.file.write_bytes(segment.file.read_bytes()[:-100])
    assert send_one(segment.path).status == "still being written"
    os.utime(segment.file, (0, 0))
    assert send_one(segment.path).status == "sent"


def test_what_an_online_run_lost_is_sent_and_only_that(tmp_path, server):
    """The server has 6 of 10 rows, since the run was killed."""
    train(tmp_path / "one", range(1, 7), exit_code=1)
    measure(tmp_path / "one", range(1, 11))
    outcome = send_one(tmp_path / "one")
    assert (outcome.status, outcome.rows) == ("sent", 4)
    assert server.runs["one"].steps == [*range(1, 11)]
    assert server.runs["one"].summary["val/accuracy"] == 0.9
    assert send_one(tmp_path / "one").status == "already sent"


def test_a_run_that_went_on_offline_after_an_online_part_has_each_step_once(tmp_path, server, offline):
    """The server had died at step 4, the run was killed at 6 and went on without a network."""
    train(tmp_path / "one", range(1, 5), exit_code=1)
    offline(range(7, 11), resumed_at=6)
    measure(tmp_path / "one", range(1, 11))
    assert send_one(tmp_path / "one").status == "sent"
    assert server.runs["one"].steps == [*range(1, 11)]
    assert send_one(tmp_path / "one").status == "already sent"
    assert server.runs["one"].steps == [*range(1, 11)]


def test_nobody_logged_in_and_no_server_are_mistakes_of_one_line(log_in, monkeypatch):
    with pytest.raises(UserError, match="nobody is logged in to W&B"):
        check_server()
    with serving() as stub:
        log_in(stub.url)
        check_server()
    monkeypatch.setattr(sync, "ANSWER_TIMEOUT_S", 0.5)
    with pytest.raises(UserError, match=rf"W&B at {stub.url} does not answer"):
        check_server()


def test_a_run_is_found_by_every_name_that_people_give_it(tmp_path, offline):
    offline(range(1, 3))
    (segment,) = find_segments(tmp_path / "one", "one")
    names = [tmp_path, tmp_path / "one", tmp_path / "one" / "wandb", segment.path, segment.file, tmp_path / "o*e"]
    for name in names:
        (run,) = find_waiting([str(name)])
        assert (run.run_id, run.segments, run.folder) == ("one", [segment], tmp_path / "one")
    (run,) = find_waiting([str(name) for name in names])
    assert run.segments == [segment]


def test_wrong_names_are_mistakes_of_one_line(tmp_path, offline):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find_waiting(["nowhere"])
    with pytest.raises(UserError, match="empty: holds no W&B run"):
        find_waiting([str(tmp_path / "empty")])
    offline(range(1, 3))
    shutil.copytree(tmp_path / "one", tmp_path / "copy", symlinks=True)
    with pytest.raises(UserError, match=r"copy/wandb and one/wandb hold the same run one"):
        find_waiting([str(tmp_path)])
