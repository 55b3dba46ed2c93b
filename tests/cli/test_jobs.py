"""The verb jobs: a table that a person reads, rows for programs, cancelling, and each mistake as one line."""

import json
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from lightning_cv.launch.cluster.records import read_records
from tests.compare.maker import TRAINING, history, make_run
from tests.launch.cluster.fakes import PROGRAMS, FakeSlurm, fake_slurm

CUT = "\x1f"


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    fake = fake_slurm(tmp_path / "slurm", monkeypatch)
    fake.set("sbatch", says="1234\n")
    return fake


@pytest.fixture
def submitted(slurm, capsys) -> str:
    """A job that runs, with a run and a log; the folder of its run."""
    assert main(["submit", "digits_mlp", "--no-check"]) == 0
    (record,) = read_records(Path("runs"))
    make_run(
        record.runs[0], history([0.5, 0.75], last=False), training=TRAINING | {"monitor": "val/accuracy", "mode": "max"}
    )
    Path(record.logs[0]).write_text("hello\nepoch 2/3\n")
    slurm.set("squeue", says=f"1234{CUT}RUNNING{CUT}node7{CUT}5:00{CUT}30:00{CUT}None\n")
    capsys.readouterr()
    return record.runs[0]


def one_line(capsys, *words: str) -> str:
    assert main(["jobs", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_table_says_what_runs_where_its_last_line_and_its_run(submitted, capsys):
    assert main(["jobs"]) == 0
    heads, row, said = capsys.readouterr().out.splitlines()
    assert heads.split() == ["job", "name", "state", "machine", "time", "best", "run"]
    shown = f"runs/digits_mlp/{Path(submitted).name}"
    assert row.split() == ["1234", "digits_mlp", "RUNNING", "node7", "5:00", "/", "30:00", "val/accuracy", "0.75", "@",
                           "20", shown]  # fmt: skip
    assert said == "    epoch 2/3"


def test_programs_get_the_same_as_json(submitted, capsys):
    assert main(["jobs", "--json", "--runs-dir=runs"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["job"], row["state"], row["run"]) == ("1234", "RUNNING", submitted)


@pytest.mark.parametrize("answer", ["fails", "is not there"])
def test_without_an_answer_of_slurm_the_runs_tell(submitted, slurm, capsys, answer):
    """A broken controller, or none: one line on stderr, and what is known from the run."""
    if answer == "fails":
        slurm.set("squeue", complains="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    else:
        (slurm.folder / "programs" / "squeue").unlink()
    assert main(["jobs"]) == 0
    captured = capsys.readouterr()
    assert "val/accuracy 0.75 @ 20" in captured.out
    (line,) = captured.err.splitlines()
    assert line.endswith("; shown is what the runs tell")


def test_a_job_is_cancelled_only_if_it_was_submitted_from_here(submitted, slurm, capsys):
    assert "77: no job that was submitted for this folder of runs; known: 1234" in one_line(capsys, "cancel", "77")
    assert slurm.calls("scancel") == []
    assert main(["jobs", "cancel", "1234"]) == 0
    assert slurm.calls("scancel") == [["1234"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel"], "jobs cancel needs the number of a job"),
        (["cancle", "1"], "cancle is not an action of jobs; did you mean cancel?"),
        (["--al"], "--al is not an option of jobs; did you mean --all?"),
        (["--runs-dir"], "--runs-dir needs a value: --runs-dir=DIR"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, said):
    assert said in one_line(capsys, *words)


def test_no_jobs_is_said_with_what_starts_some(tmp_path, monkeypatch, capsys):
    fake_slurm(tmp_path / "slurm", monkeypatch, without=PROGRAMS)
    assert main(["jobs"]) == 0
    assert capsys.readouterr().out == "no jobs in runs; lightning-cv submit starts some\n"


def test_the_last_twenty_submissions_are_shown_and_all_where_asked(slurm, capsys):
    for _ in range(21):
        assert main(["submit", "digits_mlp", "--no-check"]) == 0
    capsys.readouterr()
    assert main(["jobs"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 21
    assert captured.err == "the last 20 of 21 submissions; --all shows every one\n"
    assert main(["jobs", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 22
