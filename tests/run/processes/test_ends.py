"""Does every failure of one process end all of them, and is its cause the last line of the first one?"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from lightning_cv.errors import Preempted
from lightning_cv.record.manifest import newest_valid
from lightning_cv.run.processes.launched import WatchedLauncher
from lightning_cv.run.processes.together import BOUND_VARIABLE
from lightning_cv.run.stop import stop_signals
from tests.processes import fork_ranks, status_of
from tests.run.processes import ddp_program

HUNG_S = 60  # after which the system ends a process that waits for ever


@pytest.fixture(autouse=True)
def short_bound(monkeypatch):
    monkeypatch.setenv(BOUND_VARIABLE, "2")


class Ended:
    """Two processes that have ended: statuses, what each wrote to its stderr, and after how long."""

    def __init__(self, folder: Path, *fault: object) -> None:
        self.folder = folder
        self.run = folder / "run"

        def program(rank: int) -> int:
            signal.alarm(HUNG_S)
            ddp_program.write_stderr_to(folder / f"stderr{rank}")
            return ddp_program.as_verb([str(self.run), *map(str, fault)])

        begun_s = time.monotonic()
        self.statuses = [status_of(child) for child in fork_ranks(2, program)]
        print(f"\n{fault}: {self.statuses} after {time.monotonic() - begun_s:.1f} s")

    def lines(self, rank: int) -> list[str]:
        return (self.folder / f"stderr{rank}").read_text().splitlines()

    @property
    def last_event(self) -> dict:
        return json.loads((self.run / "progress.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize("phase", ["setup", "train", "backward", "validation", "save"])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_any_phase_of_any_process_ends_both_with_its_line(tmp_path, phase, rank):
    """Status 3 of both; the other process says nothing of its lost connection."""
    ended = Ended(tmp_path, "data", phase, rank)
    assert ended.statuses == [3, 3]
    who = "process 1: " if rank else ""
    assert ended.lines(0)[-1] == f"error: {who}/data/cat.png: cannot be read"
    for number in range(2):
        assert not [line for line in ended.lines(number) if "gloo/" in line or "Traceback" in line]
    assert not [line for line in ended.lines(1) if "error" in line]
    if phase != "setup":
        assert ended.last_event["status"] == "failed"
        assert "cannot be read" in ended.last_event["error"]
        assert not newest_valid(ended.run / "checkpoints")[1] if (ended.run / "checkpoints").is_dir() else True
    assert not list(ended.run.glob(".processes*"))


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("diverged", 4, "error: process 1: epoch 0, batch 3: the training loss became nan"),
        ("memory", 5, "error: process 1: the machine's memory ran out; make data.init_args.batch_size or num_workers "),
        ("bug", 70, "error: process 1: TypeError: boom; please report it with the lines above"),
        ("kill", 5, "error: process 1 (pid "),
        ("crash", 70, "error: process 1 (pid "),
    ],
)
def test_the_first_process_ends_with_the_status_and_the_words_of_the_other(tmp_path, kind, status, line):
    ended = Ended(tmp_path, kind, "train", 1)
    assert ended.statuses[0] == status
    assert ended.statuses[1] == {"kill": -9, "crash": -11}.get(kind, status)
    assert ended.lines(0)[-1].startswith(line)
    text = "\n".join(ended.lines(0))
    assert ("in _raise" in text) == (kind == "bug"), "the traceback of the process that has the bug"
    assert ("Fatal Python error: Segmentation fault" in text) == (kind == "crash")
    assert ended.last_event["status"] == "failed"


@pytest.mark.parametrize("kind", ["kill", "crash"])
def test_where_the_first_process_dies_the_other_tells(tmp_path, kind):
    ended = Ended(tmp_path, kind, "train", 0)
    assert ended.statuses == [{"kill": -9, "crash": -11}[kind], {"kill": 5, "crash": 70}[kind]]
    assert ended.lines(1)[-1].startswith("error: process 0 ")
    assert ("was killed or ended" in ended.lines(1)[-1]) == (kind == "kill")
    assert ("crashed: Segmentation fault" in ended.lines(1)[-1]) == (kind == "crash")
    assert not list(ended.run.glob(".processes*"))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_process_is_found_and_ended_with_its_step(tmp_path, rank):
    """SIGSTOP: it can say nothing; the other one names it, and kills it. Its snapshots load."""
    ended = Ended(tmp_path, "stop", "save", rank)
    assert ended.statuses == [-9, 5] if rank == 0 else [5, -9]
    (line,) = [line for line in ended.lines(1 - rank) if line.startswith("error: ")]
    assert line == ended.lines(1 - rank)[-1]
    assert line.startswith(f"error: process {rank} on {os.uname().nodename} (pid ")
    assert "gave no sign of life for" in line
    assert "it stopped at epoch 0, step " in line


@pytest.mark.parametrize("phase", ["backward", "validation step"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_hangs_in_a_batch_is_found_and_named_with_its_code(tmp_path, rank, phase):
    ended = Ended(tmp_path, "hang", phase, rank)
    assert ended.statuses == [5, 5 if rank == 0 else -9]
    line = ended.lines(0)[-1]
    assert line.startswith(f"error: process {rank} on {os.uname().nodename} (pid ")
    assert "hangs at epoch 0, step " in line
    assert " in <lambda>, " in line
    assert "ddp_program.py:" in line


@pytest.mark.parametrize("rank", [0, 1])
def test_under_srun(tmp_path, rank):
    """With the variables that srun gives its tasks, none of which is the parent of the other."""

    def task(number: int) -> int:
        signal.alarm(HUNG_S)
        for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
            del os.environ[name]
        both = {
            "JOB_ID": 7,
            "STEP_ID": 0,
            "JOB_NAME": "train",
            "NTASKS": 2,
            "NTASKS_PER_NODE": 2,
            "NODELIST": "localhost",
        }
        own = {"PROCID": number, "LOCALID": number, "NODEID": 0}
        os.environ |= {f"SLURM_{name}": str(value) for name, value in (both | own).items()}
        ddp_program.write_stderr_to(tmp_path / f"stderr{number}")
        return ddp_program.as_verb([str(tmp_path / "run"), "data", "train", str(rank)])

    assert [status_of(child) for child in fork_ranks(2, task)] == [3, 3]
    lines = (tmp_path / "stderr0").read_text().splitlines()
    assert lines[-1] == f"error: {'process 1: ' if rank else ''}/data/cat.png: cannot be read"
    assert "error: " not in (tmp_path / "stderr1").read_text()


def test_lightnings_observer_finds_no_process_to_kill_this_one_for():
    """It kills this process, which has to tell the cause, within 5 s after another has ended with an error."""
    strategy = DDPStrategy(
        parallel_devices=[torch.device("cpu")] * 2, cluster_environment=LightningEnvironment(), accelerator=None
    )
    strategy._configure_launcher()
    children = {}
    launcher = WatchedLauncher(strategy.launcher, 4, started=children.update, failed=lambda error: error)
    failing = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    launcher._call_children_scripts = lambda: launcher.procs.append(failing)
    assert failing.wait() == 3

    def train() -> str:
        (observer,) = (thread for thread in threading.enumerate() if thread.name == "child-process-observer")
        assert observer._child_processes == []
        assert observer._run(), "it ends"
        return "trained"

    assert launcher.launch(train) == "trained"
    assert children == {5: failing}
    assert launcher.procs == [failing], "what is to be killed can be"


def test_a_signal_to_a_process_that_fails_does_not_change_why_it_ends():
    """As torchrun sends it to the others as soon as one has failed."""
    with stop_signals() as signals:
        signals.failing = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received is signal.SIGTERM
    with stop_signals(), pytest.raises(Preempted):
        os.kill(os.getpid(), signal.SIGTERM)


FAULT = """
import os
import signal

from lightning.pytorch.callbacks import Callback


class Fault(Callback):
    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_rank == 1 and trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_under_lightnings_own_launcher_through_the_command(tmp_path):
    """A process that the launcher started is killed: status 5, one line, and the run can go on."""
    (tmp_path / "faults.py").write_text(FAULT)
    two = ["digits_mlp", "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=1"]
    plain = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_model_summary=false"]
    fault = ["--allow-code=faults", "--callbacks.fault.class_path=faults.Fault"]
    command = [
        str(Path(sys.executable).with_name("lightning-cv")),
        "fit",
        *two,
        *plain,
        f"--run-dir={tmp_path / 'run'}",
    ]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *fault], check=False, capture_output=True, text=True, cwd=tmp_path, env=environ)
    assert done.returncode == 5, done.stderr[-3000:]
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: process 1 (pid ")
    assert last.endswith(" was killed by SIGKILL (the machine's memory ran out?)")
    assert "Traceback" not in done.stderr
    again = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environ)
    assert again.returncode == 0, again.stderr[-3000:]
    assert not list((tmp_path / "run").glob(".processes*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("bug", 70, "error: process 1: TypeError: boom; please report it with the lines above"),
        ("kill", 5, "was killed or ended without a word (the machine's memory ran out?)"),
    ],
)
def test_under_torchrun(tmp_path, repository, kind, status, line):
    """Its agent ends the other processes: the line and the status are those of the process that failed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    logs = [f"--log-dir={tmp_path / 'logs'}", "--redirects=3"]
    words = ["-m", "tests.run.processes.ddp_program", str(tmp_path / "run"), kind, "train", "1"]
    done = subprocess.run([*command, *logs, *words], check=False, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 1, "torchrun's own"
    (first,) = (tmp_path / "logs").rglob("0/stderr.log")
    assert first.read_text().splitlines()[-1].endswith(line)
    root = done.stderr.split("Root Cause")[1]
    assert ("TypeError: boom" in root) == (kind == "bug")
    assert f"exitcode  : {status} " in done.stderr
