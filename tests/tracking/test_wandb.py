"""Is a run recorded with W&B without a question, a long wait or a stop of the training?"""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import wandb
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from lightning_cv.errors import UserError
from lightning_cv.tracking import WandbTracker, mode
from lightning_cv.tracking import wandb as module


def inspect(folder: Path, *options: str) -> str:
    """What W&B's own reader finds in the folder of an offline run."""
    (file,) = folder.glob("run-*.wandb")
    core = Path(wandb.__file__).parent / "bin" / "wandb-core"
    command = [core, "leet", "inspect", "--no-observability", "--json", *options, "--run-file", file]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def deaf_server():
    """Takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def refused_port():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    yield url


@contextmanager
def unfriendly_server():
    """Answers everything with: no such user."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def impatient(monkeypatch):
    """A tracker that waits for a server a second at most."""
    monkeypatch.setattr(mode, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(module, "ONLINE_WITHIN_S", 1.0)


def test_an_offline_run_holds_the_curves_the_settings_and_who_it_is(tmp_path):
    """Oracle: W&B's own reader. Nothing is written outside the run's folder, and nothing is printed."""
    who = {"project": "digits", "name": "first", "group": "seeds", "tags": ["small"], "notes": "a note"}
    tracker = WandbTracker(**who, save_dir=str(tmp_path / "run"), id="abc123")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.log_hyperparams({"model": {"lr": 0.1}})
        for step in range(5):
            tracker.log_metrics({"train/loss": 1.0 / (step + 1)}, step=step)
    folder = tracker.directory
    assert tracker.sync_command == "lightning-cv sync run"
    tracker.finish()
    assert folder.parent == tmp_path / "run" / "wandb"
    found = json.loads(inspect(folder, "--summary"))
    text = json.dumps(found)
    assert "first" in text
    assert "small" in text
    assert '"train/loss": {"last": 0.2, "max": 1, "min": 0.2}' in text
    assert '"lr": 0.1' in text
    rows = inspect(folder)
    assert '"seeds"' in rows
    assert '"abc123"' in rows
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run"]
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []


def test_where_nobody_is_logged_in_auto_goes_offline_without_a_word_or_a_question(tmp_path, monkeypatch):
    """A server is not even looked for: `answers` would raise."""
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(mode, "answers", None)
    monkeypatch.setattr(wandb, "login", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = WandbTracker(save_dir=str(tmp_path))
        assert tracker.experiment.offline
    tracker.finish()


def test_where_nobody_is_logged_in_online_says_so_and_goes_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    tracker = WandbTracker(save_dir=str(tmp_path), mode="online")
    with pytest.warns(UserWarning, match="nobody is logged in"):
        assert tracker.experiment.offline
    tracker.finish()


@pytest.mark.parametrize("server", [deaf_server, refused_port])
def test_a_server_that_does_not_answer_is_left_after_the_bound_with_one_line(tmp_path, log_in, impatient, server):
    with server() as url:
        log_in(url)
        tracker = WandbTracker(save_dir=str(tmp_path))
        with pytest.warns(UserWarning, match="does not answer") as warned:
            assert tracker.experiment.offline
        assert [str(w.message) for w in warned] == [f"W&B at {url} does not answer; the run is recorded offline."]
        tracker.log_metrics({"a": 1.0})
    assert tracker.sync_command is not None
    tracker.finish()


def test_a_server_that_refuses_the_key_is_left_with_one_line(tmp_path, log_in, impatient):
    """The offline run keeps the id that the failed attempt held."""
    with unfriendly_server() as url:
        log_in(url)
        tracker = WandbTracker(save_dir=str(tmp_path), id="kept")
        with pytest.warns(UserWarning, match="W&B could not record the run online") as warned:
            assert tracker.experiment.offline
        assert len(warned) == 1
        assert tracker.experiment.id == "kept"
        tracker.finish()


def test_who_is_logged_in_and_answered_is_recorded_online(tmp_path, monkeypatch):
    """`wandb.init` is watched: what it is asked is what counts, there being no server here."""
    asked = []
    original = wandb.init

    def init(**options):
        asked.append(options)
        return original(**{**options, "mode": "offline"})

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(mode, "answers", lambda url, *, within_s: url.endswith("/graphql"))
    monkeypatch.setattr(wandb, "login", lambda **options: options == {"prompt": False, "verify": False})
    monkeypatch.setattr(wandb, "init", init)
    tracker = WandbTracker(save_dir=str(tmp_path), id="one")
    _ = tracker.experiment
    (options,) = asked
    assert (options["mode"], options["id"], options["resume"]) == ("online", "one", "allow")
    assert "anonymous" not in options
    assert options["settings"].init_timeout <= module.ONLINE_WITHIN_S
    assert options["settings"].x_transaction_log_flush_interval == 1.0
    assert tracker.sync_command is None
    tracker.finish()


def test_offline_there_is_no_server_whose_silence_would_count(tmp_path, monkeypatch):
    """W&B's own program may take its time to start on a machine under load; without it nothing would be recorded."""
    asked = []
    original = wandb.init

    def init(**options):
        asked.append((options["mode"], options["settings"].init_timeout))
        return original(**options)

    monkeypatch.setattr(wandb, "init", init)
    tracker = WandbTracker(save_dir=str(tmp_path), mode="offline")
    _ = tracker.experiment
    tracker.finish()
    assert asked == [("offline", module.OFFLINE_WITHIN_S)]


def test_the_service_of_another_process_is_left_alone(tmp_path, monkeypatch):
    """What a program inherits from one that uses W&B too: here nobody listens there, and the run is recorded."""
    wandb.teardown()
    monkeypatch.setenv("WANDB_SERVICE", f"3-{os.getppid()}-unix-{tmp_path / 'socket'}")
    tracker = WandbTracker(save_dir=str(tmp_path), mode="offline")
    _ = tracker.experiment
    tracker.log_metrics({"a": 1.0}, step=1)
    folder = tracker.directory
    assert os.environ["WANDB_SERVICE"].startswith(f"3-{os.getpid()}-")
    tracker.finish()
    wandb.teardown()
    assert points(folder) == [{"trainer/global_step": 1, "a": 1.0}]


def test_disabled_records_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    tracker = WandbTracker(save_dir=str(tmp_path / "run"), mode="disabled")
    tracker.log_metrics({"a": 1.0})
    tracker.finish()
    assert tracker.directory is None
    assert tracker.sync_command is None
    assert list((tmp_path / "run").rglob("*.wandb")) == []


def test_other_devices_record_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setattr(wandb, "init", None)
    tracker = WandbTracker(save_dir=str(tmp_path / "run"))
    tracker.log_metrics({"a": 1.0})
    tracker.log_hyperparams({"b": 1})
    assert type(tracker.experiment).__name__ == "_DummyExperiment"
    tracker.finish()
    assert not (tmp_path / "run").exists()


class Task(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(tracker: WandbTracker, folder: Path) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=tracker,
        max_epochs=1,
        log_every_n_steps=2,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Task(), torch.utils.data.DataLoader(torch.ones(16, 4), batch_size=2))
    return trainer


def test_a_fit_is_recorded_at_the_rhythm_of_the_trainer(tmp_path):
    """8 steps, a point every second one: four points; oracle: W&B's own reader."""
    tracker = WandbTracker(save_dir=str(tmp_path))
    fit(tracker, tmp_path)
    folder = tracker.directory
    tracker.finish()
    assert inspect(folder).count('"train/loss"') >= 4
    assert json.loads(inspect(folder, "--summary"))["summary"]["trainer/global_step"] == 7


KILLS_THE_SERVICE = """
import os, subprocess, sys, warnings
from pathlib import Path
from tests.tracking.test_wandb import WandbTracker, fit

folder = Path(sys.argv[1])
tracker = WandbTracker(save_dir=str(folder))
tracker.experiment
command = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
services = [int(line.split()[0]) for line in lines if "wandb-core" in line]
assert services
for pid in services:
    os.kill(pid, 9)
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    trainer = fit(tracker, folder)
    tracker.finish()
print("steps", trainer.global_step, "lines", len([w for w in warned if "the curves" in str(w.message)]))
"""


@pytest.mark.slow
def test_training_goes_on_when_the_service_of_wandb_dies(tmp_path, repository):
    """The service is killed after the run began; one line tells of the curves, and the process ends well."""
    command = [sys.executable, "-c", KILLS_THE_SERVICE, tmp_path / "run"]
    done = subprocess.run(command, check=False, cwd=repository, capture_output=True, text=True, timeout=400)
    assert done.stdout.splitlines()[-1] == "steps 8 lines 1", done.stderr
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def points(folder: Path) -> list[dict]:
    """The rows of an offline run without W&B's own values; oracle: W&B's own reader."""
    rows = [json.loads(line) for line in inspect(folder).splitlines()]
    items = [row["history"]["item"] for row in rows if row["type"] == "history"]
    return [{key: value for key, value in item.items() if not key.startswith("_")} for item in items]


def test_what_is_logged_for_one_step_is_one_row(tmp_path):
    """Also where training saves, ends and is tested between two values; the later of two values of one name counts."""
    tracker = WandbTracker(save_dir=str(tmp_path))
    tracker.log_metrics({"a": 1.0}, step=1)
    tracker.log_metrics({"a": 2.0}, step=1)
    tracker.save()
    tracker.log_metrics({"a": 3.0}, step=2)
    tracker.finalize("success")
    tracker.log_metrics({"b": 4.0}, step=2)
    folder = tracker.directory
    tracker.finish()
    wandb.teardown()
    axis = "trainer/global_step"
    assert points(folder) == [{axis: 1, "a": 2.0}, {axis: 2, "a": 3.0, "b": 4.0}]


ENDS_WITHOUT_FINISH = """
import sys
from lightning_cv.tracking import WandbTracker
tracker = WandbTracker(save_dir=sys.argv[1], id="one")
for step in range(3):
    tracker.log_metrics({"a": float(step)}, step=step)
"""


def test_a_program_that_never_ends_its_run_loses_no_row(tmp_path, repository):
    command = [sys.executable, "-c", ENDS_WITHOUT_FINISH, tmp_path / "run"]
    subprocess.run(command, check=True, cwd=repository, timeout=400)
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*-one")
    assert [point["a"] for point in points(folder)] == [0.0, 1.0, 2.0]


def test_a_value_that_wandb_refuses_does_not_stop_training(tmp_path, monkeypatch):
    tracker = WandbTracker(save_dir=str(tmp_path))
    monkeypatch.setattr(tracker.experiment, "log", lambda *a, **k: 1 / 0)
    with pytest.warns(UserWarning, match="the curves .ZeroDivisionError: division by zero"):
        trainer = fit(tracker, tmp_path)
    assert trainer.global_step == 8
    tracker.finish()


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path, monkeypatch):
    def init(**options):
        if options["mode"] != "disabled":
            raise OSError("No space left on device")
        return original(**options)

    original = wandb.init
    monkeypatch.setattr(wandb, "init", init)
    tracker = WandbTracker(save_dir=str(tmp_path))
    tracker.log_metrics({"a": 1.0})
    with pytest.warns(UserWarning, match=r"could not record the run offline .OSError: No space left"):
        tracker.finish()


def test_two_trackers_in_one_process_are_two_runs(tmp_path):
    first, second = (WandbTracker(save_dir=str(tmp_path), id=name) for name in ("one", "two"))
    assert first.experiment.id == "one"
    assert second.experiment.id == "two"
    assert first.directory != second.directory
    second.finish()


def test_a_run_left_open_by_a_service_that_is_gone_does_not_stop_the_next(tmp_path, monkeypatch):
    """Finishing what W&B still holds in `wandb.run` may fail: the next tracker starts a run of its own."""

    class Gone:
        id = "other"

        def finish(self):
            raise RuntimeError("Cannot schedule tasks after join(). Did you call wandb.teardown()?")

    monkeypatch.setattr(wandb, "run", Gone())
    tracker = WandbTracker(save_dir=str(tmp_path), mode="offline", id="second")
    tracker.log_metrics({"loss": 2.0}, step=1)
    tracker.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*-second/run-second.wandb"))) == 1


def test_wandb_mode_wins_over_the_recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = WandbTracker(save_dir=str(tmp_path), mode="offline")
    assert tracker.experiment.disabled
    tracker.finish()


def test_a_wrong_mode_is_named_with_what_is_allowed():
    with pytest.raises(UserError, match="'of'; allowed are auto, online, offline and disabled"):
        WandbTracker(mode="of")
