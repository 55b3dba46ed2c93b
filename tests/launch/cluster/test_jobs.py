"""Is what became of submitted jobs told from what SLURM, the logs and the runs say, each as far as it is there?"""

import json
from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.jobs import best_score, last_line, rows_of, trials_so_far
from lightning_cv.launch.cluster.records import find_task, folder_of, read_records, write_record
from lightning_cv.launch.cluster.squeue import JobState, accounted, queued
from lightning_cv.record.trial import NOTE
from tests.compare.maker import TRAINING, event, history, make_run
from tests.launch.cluster.fakes import fake_slurm

RUNS = Path("runs")


def submitted(kind: str = "fit", *, number: str = "12", tasks: int = 1, key: str = "abcd1234"):
    """A submission that was written down, as it is read again."""
    job = Job(
        key=key, name="net", kind=kind, words=("fit",), parent=RUNS.absolute() / "net", folder=Path.cwd(), tasks=tasks
    )
    write_record(RUNS, job, number=number, argv=["lightning-cv", "submit", "net.yaml"], limit="30")
    return job, next(record for record in read_records(RUNS) if record.key == key)


def test_a_record_says_what_was_submitted_and_hides_a_password():
    job = Job(key="k", name="net", kind="seeds", words=("fit",), parent=Path("/r/net"), folder=Path("/r"), tasks=2)
    argv = ["lightning-cv", "submit", "s", "--storage", "postgresql://me:secret@host/db"]
    write_record(RUNS, job, number="12", argv=argv, limit=None)
    (record,) = read_records(RUNS)
    assert (record.job, record.kind, record.task_id(1)) == ("12", "seeds", "12_1")
    assert record.runs == ("/r/net/k-s0", "/r/net/k-s1")
    assert record.logs == ("/r/net/k-0.log", "/r/net/k-1.log")
    assert "secret" not in (folder_of(RUNS, "k") / "job.json").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"key": "a"}', "[" * 100_000])
def test_a_damaged_record_hides_no_other(text):
    submitted()
    damaged = folder_of(RUNS, "damaged") / "job.json"
    damaged.parent.mkdir()
    damaged.write_text(text)
    assert [record.key for record in read_records(RUNS)] == ["abcd1234"]


@pytest.mark.parametrize("word", ["x", "13", "12_2", "12_", "-1", "12_0 13"])
def test_a_number_that_was_not_submitted_is_told_with_the_known_ones(word):
    _, record = submitted("seeds", tasks=2)
    assert find_task([record], "12") == (record, None)
    assert find_task([record], "12_1") == (record, 1)
    with pytest.raises(UserError, match=r"number of a job|known: 12"):
        find_task([record], word)


def test_states_are_read_from_squeue_and_the_accounting(tmp_path, monkeypatch):
    fake = fake_slurm(tmp_path / "slurm", monkeypatch)
    cut = "\x1f"
    fake.set("squeue", says=f"12_0{cut}RUNNING{cut}n[1-2]{cut}5:00{cut}30:00{cut}None\n"
             f"12_1{cut}PENDING{cut}{cut}0:00{cut}30:00{cut}Resources\nnonsense\n")  # fmt: skip
    assert queued() == {
        "12_0": JobState("12_0", "RUNNING", "n[1-2]", "5:00", "30:00", ""),
        "12_1": JobState("12_1", "PENDING", "", "0:00", "30:00", "Resources"),
    }
    fake.set("sacct", says=f"9{cut}CANCELLED by 1000{cut}n1{cut}00:01:00{cut}00:30:00\n")
    assert accounted(["9"]) == {"9": JobState("9", "CANCELLED", "n1", "00:01:00", "00:30:00")}
    fake.set("sacct", status=1, complains="Slurm accounting storage is disabled")
    assert accounted(["9"]) == {}
    assert accounted([]) == {}


def test_a_row_says_state_place_time_score_and_last_line():
    job, record = submitted()
    make_run(job.runs[0], history([0.5, 0.75, 0.7]), training={**TRAINING, "monitor": "val/accuracy", "mode": "max"})
    job.log(0).write_bytes(b"first\n\x1b[1mepoch 1\x1b[0m\rstep 3\r\x1b[32mstep 4\x1b[0m  \n\n")
    (row,) = rows_of(record, {"12": JobState("12", "RUNNING", "n1", "5:00", "30:00")})
    assert (row.job, row.state, row.nodes, row.time) == ("12", "RUNNING", "n1", "5:00 / 30:00")
    assert (row.best, row.said) == ("val/accuracy 0.75 @ 20", "step 4")
    (waiting,) = rows_of(record, {"12": JobState("12", "PENDING", reason="Priority")})
    assert waiting.state == "PENDING (Priority)"
    (ended,) = rows_of(record, {})
    assert ended.state == "completed"


def test_a_run_without_slurm_runs_as_long_as_its_process_does():
    job, record = submitted(number="")
    (row,) = rows_of(record, {})
    assert (row.job, row.state, row.said) == ("local", "running", "")  # this process submitted it
    gone = json.loads((folder_of(RUNS, job.key) / "job.json").read_text()) | {"process": "1.0"}
    (folder_of(RUNS, job.key) / "job.json").write_text(json.dumps(gone))
    make_run(job.runs[0], history([0.5], last=False))
    (row,) = rows_of(read_records(RUNS)[0], {})
    assert row.state == "stopped"


def test_the_best_score_is_the_snapshots_way_round_and_passes_over_what_is_no_number():
    low = {**TRAINING, "monitor": "val/loss", "mode": "min"}
    events = [
        event("validation", 10 * n, {"val/loss": loss}) for n, loss in enumerate((2.0, 0.5, float("nan"), 1.0), 1)
    ]
    assert best_score(make_run("a", events, training=low)) == "val/loss 0.5 @ 20"
    assert best_score(make_run("b", [], training=low)) == ""
    assert best_score(make_run("c", training=None)) == ""


def test_trials_are_counted_by_their_states():
    for number, state in enumerate(("complete", "complete", "pruned")):
        folder = Path("study") / str(number)
        folder.mkdir(parents=True)
        (folder / NOTE).write_text(
            json.dumps({"study": "study", "number": number, "job_type": "trial", "values": {}, "state": state})
        )
    assert trials_so_far(Path("study")) == "2 complete, 1 pruned"


def test_the_last_line_of_a_long_or_missing_log(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(b"x" * 100_000 + b"\nlast \xff\n" + b" \n" * 5)
    assert last_line(log) == "last \ufffd"
