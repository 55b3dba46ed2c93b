"""Does a run reach a W&B server, also a slow one, without a secret and without holding up the training?"""

import os
import subprocess
import sys
import threading

import pytest
import wandb
from PIL import Image

from lightning_cv.tracking import WandbTracker, mode, pictures
from lightning_cv.tracking import wandb as module
from tests.tracking.runs import point, train
from tests.tracking.server_stub import serving

SECRET = "correcthorsebatterystaple"  # noqa: S105


@pytest.fixture
def server(log_in):
    with serving() as stub:
        log_in(stub.url)
        yield stub


def test_an_online_run_has_its_curves_settings_group_tags_and_job_type(tmp_path, server):
    """Oracle: what the server was sent. The curves have the optimizer step as their axis."""
    tracker = WandbTracker(project="digits", id="one", save_dir=str(tmp_path), group="g", job_type="fit", tags=["t"])
    tracker.log_hyperparams({"model": {"lr": 0.1}})
    for step in (2, 4):
        tracker.log_metrics(point(step), step=step)
    assert tracker.sync_command is None
    tracker.finish()
    run = server.runs["one"]
    assert (run.project, run.facts["groupName"], run.facts["jobType"], run.facts["tags"]) == (
        "digits",
        "g",
        "fit",
        ["t"],
    )
    assert run.settings == {"model": {"lr": 0.1}}
    assert run.steps == [2, 4]
    assert run.exit_code == 0
    defined = {name: metric for metric in run.config["_wandb"]["value"]["m"] if (name := metric.get("1"))}
    axis = list(defined).index("trainer/global_step") + 1  # an axis is named by its place in the list, from 1
    assert all(defined[name]["5"] == axis for name in ("train/loss", "val/accuracy"))
    assert "5" not in defined["epoch"]


def test_a_slow_server_holds_up_no_step_and_gets_every_row(tmp_path, server):
    """It answers no row at all until training has ended; the test would hang if a step waited for it."""
    training_ended = threading.Event()
    server.before = lambda name: training_ended.wait(60) if name == "file_stream" else None
    tracker = WandbTracker(id="one", save_dir=str(tmp_path))
    for step in range(1, 201):
        tracker.log_metrics(point(step), step=step)
    assert server.runs["one"].steps == []
    training_ended.set()
    tracker.finish()
    assert server.runs["one"].steps == [*range(1, 201)]


def test_a_server_too_slow_to_begin_a_run_is_left_with_one_line(tmp_path, server, monkeypatch):
    """It answers the first look, then takes longer for the run than a start may wait; the run is whole on disk."""
    monkeypatch.setattr(module, "ONLINE_WITHIN_S", 1.0)
    tracker_gave_up = threading.Event()
    server.before = lambda name: tracker_gave_up.wait(60) if name == "UpsertBucket" else None
    tracker = WandbTracker(id="one", save_dir=str(tmp_path))
    with pytest.warns(UserWarning, match="could not record the run online") as warned:
        assert tracker.experiment.offline
    tracker_gave_up.set()
    assert len(warned) == 1
    tracker.log_metrics(point(1), step=1)
    assert tracker.sync_command == "lightning-cv sync ."
    tracker.finish()


def test_a_server_that_dies_in_training_stops_neither_training_nor_its_end(tmp_path, server, monkeypatch):
    """It hangs up on every row; the end of the run waits for the bound, and all rows are on disk."""
    monkeypatch.setattr(module, "FINISH_TIMEOUT_S", 0.5)

    def hang_up(name: str) -> None:
        if name == "file_stream":
            raise ConnectionError

    server.before = hang_up
    tracker = WandbTracker(id="one", save_dir=str(tmp_path))
    for step in range(1, 6):
        tracker.log_metrics(point(step), step=step)
    folder = tracker.directory
    tracker.finish()
    wandb.teardown()
    (file,) = folder.glob("run-*.wandb")
    assert b"trainer/global_step" in file.read_bytes()


def plant(tmp_path) -> str:
    """A program that trains with a secret in its arguments, environment, settings, notes and code."""
    return f"""
import sys
from lightning_cv.tracking import WandbTracker
tracker = WandbTracker(id="one", save_dir=sys.argv[1], notes="see https://me:{SECRET}@host/page")
tracker.log_hyperparams({{"data": {{"password": "{SECRET}", "url": "https://me:{SECRET}@host/x", "lr": 0.5}}}})
tracker.log_metrics({{"a": 1.0}}, step=1)
tracker.finish()
"""


@pytest.mark.parametrize("online", [False, True])
def test_no_secret_gets_into_the_files_of_wandb_or_to_its_server(tmp_path, server, repository, monkeypatch, online):
    """Planted on the command line, in the environment, in settings, notes and code; oracle: all bytes written."""
    monkeypatch.setenv("WANDB_MODE", "online" if online else "offline")
    monkeypatch.setenv("MY_PASSWORD", SECRET)
    program = tmp_path / "program.py"
    program.write_text(plant(tmp_path))
    command = [sys.executable, program, tmp_path / "run", f"--data.password={SECRET}"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, cwd=repository, capture_output=True, timeout=400, check=True)
    assert SECRET.encode() not in done.stdout + done.stderr
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert any(b"***" in path.read_bytes() for path in files)
    names = {path.name for path in files}
    assert not names & {"wandb-metadata.json", "diff.patch", "program.py"}
    assert SECRET.encode() not in server.received
    assert bool(server.received) == online
    if online:
        assert server.runs["one"].settings["data"] == {"password": "***", "url": "https://***@host/x", "lr": 0.5}


def test_pictures_reach_the_server_in_the_row_of_their_step(tmp_path, server):
    """Also where the file is overwritten at once; oracle: the bytes that were uploaded. No copy stays behind."""
    path = tmp_path / "mistakes.png"
    Image.new("RGB", (4, 4), "red").save(path)
    red = path.read_bytes()
    tracker = WandbTracker(id="one", save_dir=str(tmp_path / "run"))
    tracker.log_metrics({"a": 1.0}, step=3)
    tracker.log_pictures({"media/mistakes": path}, step=3)
    Image.new("RGB", (4, 4), "blue").save(path)
    folder = tracker.directory
    tracker.finish()
    run = server.runs["one"]
    assert run.steps == [3]
    assert run.history[0]["a"] == 1.0
    assert run.history[0]["media/mistakes"]["_type"] == "image-file"
    assert [data for name, data in run.files.items() if name.startswith("media/")] == [red]
    assert not (folder / "waiting").exists()
    assert set(run.summary["media/mistakes"]) >= {"path", "_type"}


def test_pictures_beyond_the_bound_are_dropped_with_one_line(tmp_path, server, monkeypatch):
    """Three of 70 bytes and a bound of 150: two go, one is named; a second time nothing more is said."""
    monkeypatch.setattr(pictures, "MAX_BYTES", 150)
    shown = {}
    for name in "abc":
        shown[name] = tmp_path / f"{name}.png"
        Image.new("L", (2, 2)).save(shown[name])
    assert all(60 < path.stat().st_size < 75 for path in shown.values())
    tracker = WandbTracker(id="one", save_dir=str(tmp_path / "run"))
    with pytest.warns(UserWarning, match="could not record all pictures .*: c") as warned:
        _ = [tracker.log_pictures(shown, step=step) for step in (1, 2)]
    assert len(warned) == 1
    tracker.finish()
    assert [{*row} & {*shown} for row in server.runs["one"].history] == [{"a", "b"}, {"a", "b"}]


def test_a_picture_that_is_none_does_not_stop_training(tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    tracker = WandbTracker(id="one", save_dir=str(tmp_path / "run"))
    with pytest.warns(UserWarning, match="could not record the pictures") as warned:
        _ = [tracker.log_pictures({"a": tmp_path / name}, step=1) for name in ("no.png", "missing.png")]
    assert len(warned) == 1
    tracker.finish()


def test_the_mode_of_the_environment_is_the_one_that_is_chosen(monkeypatch):
    for variable, chosen in (("dryrun", "offline"), ("offline", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", variable)
        assert mode.choose_mode("online") == chosen


@pytest.mark.slow
def test_two_processes_of_one_training_are_one_run(tmp_path, server, repository):
    """Oracle: the runs, and how often each step came, on the server; and W&B's folders on disk."""
    options = ["--trainer.max_epochs=1", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    options += ["--trainer.log_every_n_steps=5", "--runs-dir", str(tmp_path / "runs"), "--seed", "0"]
    command = [sys.executable, "-m", "lightning_cv", "fit", "digits_resnet", *options]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "runs").glob("*/*")
    assert [*server.runs] == [folder.name]
    run = server.runs[folder.name]
    assert len(run.steps) > 3
    assert run.steps == sorted(set(run.steps))
    assert len(list(folder.glob("wandb/run-*"))) == 1
    assert isinstance(run.summary["val/accuracy"], float)
    assert run.settings["trainer"]["devices"] == 2


def test_a_run_of_no_steps_is_one_too(tmp_path, server):
    train(tmp_path / "one", [])
    assert server.runs["one"].steps == []
    assert server.runs["one"].exit_code == 0
