"""Is a study one W&B run with its table, its curves and its best, however often it is recorded?"""

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import wandb
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from lightning_cv.record.wandb_file import read_records
from lightning_cv.tracking import mode
from lightning_cv.tracking.study import main, record_study
from lightning_cv.tracking.sync import send
from lightning_cv.tracking.waiting import find_waiting
from tests.tracking.server_stub import serving

SECRET = "correcthorsebatterystaple"  # noqa: S105
SCORES = [0.5, 0.7, 0.6, 0.9, 0.8]


@pytest.fixture
def server(log_in):
    with serving() as stub:
        log_in(stub.url)
        yield stub


def study(tmp_path, trials=(0, 1, 2), **changes) -> dict:
    """The summary of a study of which these trials have ended; more is better."""
    picture = tmp_path / "history.png"
    Image.new("RGB", (4, 4), "red").save(picture)
    rows = [[n, "complete", 10.0**-n, "adam" if n % 2 else None, SCORES[n]] for n in trials]
    best = max(trials, key=lambda n: SCORES[n])
    so_far = [max(SCORES[m] for m in trials if m <= n) for n in trials]
    summary = {
        "id": "study-1",
        "name": "digits_lr_decay",
        "group": "digits_lr_decay",
        "project": "digits",
        "entity": None,
        "config": {"trials": 5, "storage": f"postgresql://me:{SECRET}@host/db", "space": {"a.b": {"choice": [1, 2]}}},
        "columns": ["trial", "state", "a.lr", "a.optimizer", "val/accuracy"],
        "rows": rows,
        "best": {"trial": best, "score": SCORES[best], "values": {"a.lr": 10.0**-best}},
        "counts": {"complete": len(trials)},
        "importances": {"a.lr": 0.25, "a.optimizer": 0.75},
        "history": [{"trial": n, "score": SCORES[n], "best": top} for n, top in zip(trials, so_far, strict=True)],
        "pictures": {"history": str(picture)},
    }
    return summary | changes


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/*run-*-study-1"), key=lambda path: path.name.removeprefix("offline-"))


def points(rows) -> list[tuple]:
    """Trial, score and best so far of each row of the curves."""
    return [(row["trial"], row["study/score"], row["study/best"]) for row in rows if "study/score" in row]


def offline_points(segment: Path) -> list[tuple]:
    records = read_records(segment / "run-study-1.wandb")
    return points(record["history"]["item"] for record in records if record.get("type") == "history")


def table(files: dict[str, bytes], run) -> dict:
    """The table of trials that the summary of a run names."""
    return json.loads(files[run.summary["trials"]["path"]])


def test_a_study_is_a_run_of_its_group_with_table_curves_best_counts_importances_and_pictures(tmp_path, server):
    """Oracle: what the server was sent (row 134); the password of the storage was not."""
    assert record_study(study(tmp_path), tmp_path / "study") is None
    run = server.runs["study-1"]
    facts = {key: run.facts[key] for key in ("displayName", "groupName", "jobType")}
    assert facts == {"displayName": "digits_lr_decay", "groupName": "digits_lr_decay", "jobType": "sweep"}
    assert (run.project, run.exit_code) == ("digits", 0)
    assert run.settings["storage"] == "postgresql://***@host/db"
    assert run.settings["space"] == {"a.b": {"choice": [1, 2]}}
    assert points(run.history) == [(0, 0.5, 0.5), (1, 0.7, 0.7), (2, 0.6, 0.7)]
    assert table(run.files, run)["columns"] == ["trial", "state", "a.lr", "a.optimizer", "val/accuracy"]
    assert table(run.files, run)["data"] == study(tmp_path)["rows"]
    assert run.summary["best"] == {"trial": 1, "score": 0.7, "values": {"a.lr": 0.1}}
    assert run.summary["counts"] == {"complete": 3}
    bars = json.loads(run.files[run.summary["importances_table"]["path"]])["data"]
    assert bars == [["a.optimizer", 0.75], ["a.lr", 0.25]]
    assert run.config["_wandb"]["value"]["visualize"]["importances"]["panel_config"]["panelDefId"] == "wandb/bar/v0"
    picture = run.summary["pictures/history"]["path"]
    assert run.files[picture] == (tmp_path / "history.png").read_bytes()
    assert SECRET.encode() not in server.received


def test_the_curves_of_a_study_have_the_number_of_the_trial_as_their_axis(tmp_path, server):
    record_study(study(tmp_path), tmp_path / "study")
    metrics = server.runs["study-1"].config["_wandb"]["value"]["m"]
    axis = next(place for place, metric in enumerate(metrics, start=1) if metric.get("1") == "trial")
    assert next(metric for metric in metrics if metric.get("2") == "study/*")["5"] == axis


def test_a_study_that_went_on_has_each_trial_once_and_the_newer_table_and_best(tmp_path, server):
    """Trial 2 ended after 3 had been recorded: it stands behind it. A state that no trial is in any more is gone."""
    first = study(tmp_path, [0, 1, 3], counts={"complete": 3, "running": 1})
    assert record_study(first, tmp_path / "study") is None
    assert record_study(study(tmp_path, [0, 1, 2, 3, 4]), tmp_path / "study") is None
    run = server.runs["study-1"]
    assert [trial for trial, _, _ in points(run.history)] == [0, 1, 3, 2, 4]
    assert [row[0] for row in table(run.files, run)["data"]] == [0, 1, 2, 3, 4]
    assert run.summary["counts"] == {"complete": 5}
    assert run.summary["best"]["trial"] == 3
    assert record_study(study(tmp_path, [0, 1, 2, 3, 4]), tmp_path / "elsewhere") is None
    assert len(points(run.history)) == 5


def test_offline_a_study_is_whole_on_disk_and_sent_later_with_each_trial_once(tmp_path, server, monkeypatch):
    """Recorded twice, one segment each; nothing lies outside the folder. Oracles: W&B's own reader, the server."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "study"
    assert record_study(study(tmp_path), folder) is None
    assert record_study(study(tmp_path, range(5)), folder) is None
    first, second = segments(folder)
    assert offline_points(first) == [(0, 0.5, 0.5), (1, 0.7, 0.7), (2, 0.6, 0.7)]
    assert offline_points(second) == [(3, 0.9, 0.9), (4, 0.8, 0.9)]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert written == [tmp_path / "history.png"]
    assert not any(SECRET.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    monkeypatch.setenv("WANDB_MODE", "online")
    (waiting,) = find_waiting([str(folder)])
    assert send(waiting).status == "sent"
    run = server.runs["study-1"]
    assert [trial for trial, _, _ in points(run.history)] == [0, 1, 2, 3, 4]
    assert [row[0] for row in table(run.files, run)["data"]] == [0, 1, 2, 3, 4]
    assert record_study(study(tmp_path, range(5)), folder) is None
    assert len(points(run.history)) == 5


def test_a_study_that_was_recorded_offline_and_then_online_is_whole_there(tmp_path, server, monkeypatch):
    """What waited on disk is sent by nobody any more."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    record_study(study(tmp_path), tmp_path / "study")
    monkeypatch.setenv("WANDB_MODE", "online")
    record_study(study(tmp_path, range(5)), tmp_path / "study")
    (waiting,) = find_waiting([str(tmp_path / "study")])
    assert send(waiting).status in ("already sent", "nothing to send")
    assert [trial for trial, _, _ in points(server.runs["study-1"].history)] == [0, 1, 2, 3, 4]


def test_without_a_server_a_study_is_recorded_offline_with_one_line(tmp_path, log_in, monkeypatch):
    monkeypatch.setattr(mode, "ANSWER_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        log_in(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.warns(UserWarning, match="does not answer") as warned:
            assert record_study(study(tmp_path), tmp_path / "study") is None
    assert len(warned) == 1
    assert len(offline_points(segments(tmp_path / "study")[0])) == 3


def test_a_study_without_scores_importances_and_pictures_is_a_run_too(tmp_path, monkeypatch):
    """Values of every kind stand in the table: lists, infinities, numbers beside texts."""
    rows = [[0, "failed", [1, 2], "x", None], [1, "pruned", True, 3, float("inf")]]
    nothing = {"history": [{"trial": 0, "score": None, "best": None}], "importances": None, "pictures": {}, "best": {}}
    assert record_study(study(tmp_path, rows=rows, **nothing), tmp_path / "study") is None
    (segment,) = segments(tmp_path / "study")
    assert offline_points(segment) == []
    (file,) = segment.glob("files/media/table/trials_*.json")
    assert json.loads(file.read_text())["data"][0] == [0, "failed", "[1, 2]", "x", None]


def test_what_cannot_be_recorded_is_a_line_and_the_rest_is_recorded(tmp_path):
    pictures = {"gone": str(tmp_path / "gone.png"), "history": str(tmp_path / "history.png")}
    problem = record_study(study(tmp_path, pictures=pictures), tmp_path / "study")
    assert problem.startswith("W&B could not record the picture gone (FileNotFoundError: ")
    (segment,) = segments(tmp_path / "study")
    assert len(offline_points(segment)) == 3
    assert len(list(segment.glob("files/media/images/pictures/*.png"))) == 1


@pytest.mark.parametrize("broken", [{"rows": [[1]]}, {"history": 3}, {"name": ["x"]}, {"mode": "sometimes"}])
def test_a_broken_summary_is_one_line_and_no_error(tmp_path, broken):
    problem = record_study(study(tmp_path, **broken), tmp_path / "study")
    assert problem.startswith("W&B could not record the study")
    assert "\n" not in problem
    assert wandb.run is None


def test_a_summary_that_lacks_something_is_one_line(tmp_path):
    summary = study(tmp_path)
    del summary["columns"]
    assert record_study(summary, tmp_path / "study") == "W&B could not record the study (KeyError: 'columns')"


def test_who_wants_no_record_of_trainings_gets_none_of_the_study(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    assert record_study(study(tmp_path, mode="disabled"), tmp_path / "study") is None
    assert segments(tmp_path / "study") == []


def test_the_program_says_on_stderr_what_it_could_not_record(tmp_path, monkeypatch, capsys):
    """Also as a later process of a cluster's job; a file that is no summary is a line too."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    for content in (json.dumps(study(tmp_path, rows=[[1]])), "{"):
        (tmp_path / "summary.json").write_text(content)
        assert main(["summary.json", "study"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("W&B could not record")


@pytest.mark.slow
def test_the_program_records_a_study_wherever_in_a_job_it_was_started(tmp_path, repository):
    """As rank 3 of a cluster's job, and without a word."""
    (tmp_path / "summary.json").write_text(json.dumps(study(tmp_path)))
    environment = {**os.environ, "SLURM_PROCID": "3", "PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "lightning_cv.tracking.study", "summary.json", "study"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(offline_points(segments(tmp_path / "study")[0])) == 3
