"""Do processes that srun or torchrun started train one run, new or resumed, and end alike if they may not?"""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

import lightning_cv.run.fit as fit_module
from lightning_cv.cli.main import main
from lightning_cv.errors import UserError
from lightning_cv.record.progress import read_progress
from lightning_cv.run.processes.exchange import Exchange
from lightning_cv.run.processes.launched import launch_name
from tests.callbacks.tiny import newest
from tests.processes import fork, status_of
from tests.resuming import curves, differences

FIT = ["fit", "digits_mlp", "--trainer.max_epochs=2", "--trainer.limit_train_batches=5", "--trainer.accelerator=cpu"]
FIT += ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]
FIT += ["--trainer.log_every_n_steps=1", "--trainer.devices=2", "--callbacks.snapshot.init_args.every_n_steps=1"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def by_torchrun(rank: int, port: int) -> dict[str, str]:
    """The variables that torchrun gives its processes; the same for every start of the same line."""
    said = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "WORLD_SIZE": "2", "GROUP_RANK": "0"}
    return said | {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def by_srun(rank: int, port: int) -> dict[str, str]:
    """The variables that srun of SLURM 22.05 gives its tasks, as far as anything here reads them."""
    said = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    said |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_JOB_NAME": "digits", "SLURM_NODELIST": "localhost"}
    return said | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "MASTER_PORT": str(port)}


LAUNCHERS = pytest.mark.parametrize("variables", [by_torchrun, by_srun])


class Send(Callback):
    """Sends this process a signal before a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


def start(arguments, variables, *, sends: dict[int, Send] | None = None, only: dict[int, list[str]] | None = None):
    """Exit statuses of two processes that run the command, each with its launcher's variables."""
    port = free_port()

    def program(rank: int):
        def run() -> int:
            os.environ |= variables(rank, port)
            begun = fit_module._Start
            send = (sends or {}).get(rank)
            if send is not None:
                fit_module._Start = lambda signals: _with(begun(signals), send)
            return main([*arguments, *(only or {}).get(rank, [])])

        return run

    return [status_of(child) for child in [fork(program(rank)) for rank in range(2)]]


def _with(callback: Callback, send: Send) -> Callback:
    callback.on_train_batch_start = send.on_train_batch_start
    return callback


def final(run: Path) -> dict:
    state = torch.load(newest(run), weights_only=True)
    names = ("state_dict", "optimizer_states", "lr_schedulers", "random", "global_step")
    return {name: state[name] for name in names} | {"curves": curves(run)}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*") if path.name not in (".lock",))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of two processes that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert start([*FIT, "--run-dir=run"], by_torchrun) == [0, 0]
    return folder / "run"


@pytest.mark.slow
@LAUNCHERS
def test_processes_of_a_launcher_make_one_new_folder_without_being_told_which(variables, tmp_path, straight):
    """Without --run-dir the first one draws the name; one run, one record of it, no trace of how they agreed."""
    assert start(FIT, variables) == [0, 0]
    (run,) = (tmp_path / "runs" / "digits_mlp").iterdir()
    assert not differences(final(straight), final(run))
    assert [event["event"] for event in read_progress(run)].count("end") == 1
    assert not hidden(tmp_path)


@pytest.mark.slow
@LAUNCHERS
def test_the_same_line_goes_on_after_a_signal_and_after_a_kill_with_the_same_bits(variables, tmp_path, straight, capfd):
    """Oracle: the run that nothing stopped. The launcher's name for the start may be the same each time."""
    line = [*FIT, "--run-dir=run"]
    assert start(line, variables, sends={1: Send(3, signal.SIGUSR1)}) == [75, 75]
    said = capfd.readouterr().err
    assert said.count("stopped: ") == 1
    assert "auto-requeueing" not in said
    killed = start(line, variables, sends={1: Send(7, signal.SIGKILL)})
    assert killed[1] == -signal.SIGKILL
    assert killed[0] > 0
    assert start(line, variables) == [0, 0]
    run = tmp_path / "run"
    assert not differences(final(straight), final(run))
    resumed = json.loads((run / "provenance.json").read_text())["resumed"]
    assert len(resumed) == 2
    assert resumed[0]["step"] >= 3
    assert not [name for name in hidden(tmp_path) if name.startswith(".start")]


@LAUNCHERS
def test_what_only_the_first_process_finds_ends_both_with_its_line(variables, tmp_path, capfd):
    """A folder that holds another recipe's run: status 2 and the same line from both, and nothing is changed."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump({"seed_everything": 9}))
    capfd.readouterr()
    assert start([*FIT, "--run-dir=run"], variables) == [2, 2]
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert len(set(lines)) == 1
    assert "holds a run of another recipe" in lines[0]
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name != ".lock"] == ["recipe.yaml"]


def test_a_process_with_another_recipe_does_not_take_part(tmp_path, capfd):
    """Two nodes with two versions of a file: both end with the line that says which process it is."""
    capfd.readouterr()
    assert start([*FIT, "--run-dir=run"], by_srun, only={1: ["--seed=5"]}) == [2, 2]
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert lines == ["error: process 1 of 2 was started with another recipe than the first one"] * 2
    assert not list(tmp_path.iterdir())


def ask(folder: Path, rank: int, number: int, said: Path):
    """A process that asks, and writes down what it was told."""

    def run() -> int:
        said.write_text(json.dumps(Exchange(folder, rank, number, bound_s=20.0).ask("hello")))
        return 0

    return fork(run)


def test_an_answer_to_an_earlier_start_is_never_taken(tmp_path):
    """Files of a killed start with the same name lie there; each process is told of this one only."""
    folder = tmp_path / "start"
    old = [ask(folder, rank, 3, tmp_path / f"old{rank}") for rank in (1, 2)]
    for _ in range(200):
        if len(list(folder.glob("process-*"))) == 2:
            break
        signal.sigtimedwait([], 0.05)
    for child in old:
        os.kill(child, signal.SIGKILL)
        status_of(child)
    asked = {path.name.removeprefix("process-"): path.read_text() for path in folder.glob("process-*")}
    (folder / "answer.json").write_text(json.dumps({"heard": asked, "answer": {"start": "old"}}))
    new = ask(folder, 1, 3, tmp_path / "new1")  # before the first one clears up
    signal.sigtimedwait([], 0.3)

    def answer() -> int:
        exchange = Exchange(folder, 0, 3, bound_s=20.0)
        assert exchange.hear() == {1: "hello", 2: "hello"}
        exchange.tell({"start": "new"})
        return 0

    first = fork(answer)
    late = ask(folder, 2, 3, tmp_path / "new2")
    assert [status_of(child) for child in (new, late, first)] == [0, 0, 0]
    assert [json.loads((tmp_path / f"new{rank}").read_text()) for rank in (1, 2)] == [{"start": "new"}] * 2
    assert not folder.exists()


def test_nobody_waits_for_ever(tmp_path):
    """The line says who did not come, and how long it was waited for."""
    with pytest.raises(UserError, match=r"process 1 of 2 did not start within 0 s, or does not see"):
        Exchange(tmp_path / "a", 0, 2, bound_s=0.2).hear()
    with pytest.raises(UserError, match=r"process 1 of 2 heard nothing from the first one within 0 s"):
        Exchange(tmp_path / "b", 1, 2, bound_s=0.2).ask("")


def test_each_restart_of_a_job_is_another_start(monkeypatch):
    """Job, step and restart of SLURM, run id and restart of torchrun make a start's name."""
    names = set()
    for job, restart in (("1", ""), ("1", "1"), ("1", "2"), ("2", "")):
        for name, value in {"SLURM_JOB_ID": job, "SLURM_STEP_ID": "0", "SLURM_RESTART_COUNT": restart}.items():
            monkeypatch.setenv(name, value)
        names.add(launch_name())
    assert len(names) == 4
