"""Does a run go on where it stopped, through the command itself, and only where it may?"""

import json
import os
import shutil
import signal

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

import lightning_cv.run.fit as fit_module
from lightning_cv.cli.main import main
from lightning_cv.record.progress import read_progress
from tests.callbacks.tiny import newest
from tests.processes import fork, status_of
from tests.resuming import curves, differences

SHORT = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=4", "--trainer.accelerator=cpu"]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.log_every_n_steps=2"]
EVERY_STEP = "--callbacks.snapshot.init_args.every_n_steps=1"
FIT = ["fit", "digits_resnet", *SHORT, *QUIET, EVERY_STEP, "--trainer.logger=false"]


class Kill(Callback):
    """Ends the process at a step, as a power cut would, or by a signal that it can see."""

    def __init__(self, step: int, number: int = signal.SIGKILL) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


def run_until(arguments: list[str], *kills: Kill) -> int:
    """The exit status of the command in a process of its own, with these callbacks added."""

    def program() -> int:
        start = fit_module._Start
        fit_module._Start = lambda signals: _with(start(signals), kills)
        return main(arguments)

    return status_of(fork(program))


def _with(callback: Callback, others: tuple[Kill, ...]) -> Callback:
    for other in others:
        callback.on_train_batch_start = other.on_train_batch_start
    return callback


def final(run) -> dict:
    state = torch.load(newest(run), weights_only=True)
    names = ("state_dict", "averaged_network", "optimizer_states", "lr_schedulers", "random", "global_step")
    return {name: state[name] for name in names} | {"curves": curves(run)}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert run_until([*FIT, f"--run-dir={folder}"]) == 0
    return folder


def test_the_same_command_goes_on_after_every_kind_of_end(straight, tmp_path):
    """Killed before the first snapshot, killed later, asked to stop: the same command, four times, the same bits."""
    run = tmp_path / "run"
    again = [*FIT, f"--run-dir={run}"]
    assert run_until(again, Kill(0)) == -signal.SIGKILL
    assert run_until(again, Kill(5)) == -signal.SIGKILL
    assert run_until(again, Kill(9, signal.SIGTERM)) == 75
    assert run_until(again) == 0
    assert not differences(final(straight), final(run))
    assert [event["step"] for event in read_progress(run) if event["event"] == "resume"][-1] == 10
    resumed = json.loads((run / "provenance.json").read_text())["resumed"]
    # The file of step 5 may have been under way when the kill came.
    assert [entry["step"] for entry in resumed] in ([0, 4, 10], [0, 5, 10])
    assert yaml.safe_load((run / "recipe.yaml").read_text()) == yaml.safe_load((straight / "recipe.yaml").read_text())


def test_resume_names_a_run_or_takes_the_latest(straight, tmp_path):
    """`--resume RUN` and `--resume last` need no recipe: it is in the run's folder."""
    one, two = tmp_path / "runs/digits_resnet/one", tmp_path / "runs/digits_resnet/two"
    assert run_until([*FIT, f"--run-dir={one}"], Kill(6)) == -signal.SIGKILL
    assert run_until([*FIT, f"--run-dir={two}"], Kill(3)) == -signal.SIGKILL
    assert run_until(["fit", "--resume", "last"]) == 0
    assert not differences(final(straight), final(two))
    assert run_until(["fit", "--resume", str(one)]) == 0
    assert not differences(final(straight), final(one))


def test_a_run_that_had_ended_tells_its_result_and_can_be_made_longer(straight, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    before = (run / "progress.jsonl").read_text().count('"curve"')
    assert run_until(["fit", "--resume", str(run)]) == 0
    assert "val       accuracy" in capfd.readouterr().out
    assert (run / "progress.jsonl").read_text().count('"curve"') == before
    assert run_until(["fit", "--resume", str(run), "--trainer.max_epochs=4"]) == 0
    events = read_progress(run)
    assert (events[-1]["step"], events[-1]["status"]) == (16, "completed")
    assert [e["step"] for e in events if e["event"] == "validation"] == [4, 8, 12, 16]
    assert yaml.safe_load((run / "recipe.yaml").read_text())["trainer"]["max_epochs"] == 4
    assert yaml.safe_load((run / "recipe.before-2.yaml").read_text())["trainer"]["max_epochs"] == 3


def refused(arguments, capfd, status=2) -> str:
    capfd.readouterr()
    assert run_until(arguments) == status
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_another_recipe_does_not_go_on_with_a_run(straight, tmp_path, capfd):
    """The line names the first key that differs; nothing in the folder changes."""
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    line = refused([*FIT, f"--run-dir={run}", "--model.init_args.optimizer.init_args.lr=0.5"], capfd)
    rate = yaml.safe_load((run / "recipe.yaml").read_text())["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    assert f"model.init_args.optimizer.init_args.lr was {rate}, is 0.5" in line
    assert "seed_everything was 0, is 3" in refused([*FIT, f"--run-dir={run}", "--seed=3"], capfd)
    assert "leave out digits_mlp" in refused(["fit", "digits_mlp", "--resume", str(run)], capfd)
    assert "exclude each other" in refused(["fit", "--resume", str(run), "--run-dir=x"], capfd)
    assert "not the folder of a run" in refused(["fit", "--resume", "nowhere"], capfd)
    assert "there is no run in runs" in refused(["fit", "--resume", "last"], capfd)
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}


def test_the_newest_valid_checkpoint_is_taken_and_the_others_are_named(straight, tmp_path, capfd):
    """A damaged newest file: one line, the one before it, the same bits; all damaged: refused, nothing is deleted."""
    run = tmp_path / "run"
    assert run_until([*FIT, f"--run-dir={run}"], Kill(7)) == -signal.SIGKILL
    torn = newest(run)
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    capfd.readouterr()
    assert run_until([*FIT, f"--run-dir={run}"]) == 0
    skipped = [line for line in capfd.readouterr().err.splitlines() if line.startswith("skipped")]
    assert len(skipped) == 1
    assert torn.name in skipped[0]
    assert not differences(final(straight), final(run))
    files = list((run / "checkpoints").glob("*.ckpt"))
    for path in files:
        path.write_bytes(bytes(path.stat().st_size))
    assert "none of its checkpoints is valid" in refused(["fit", "--resume", str(run)], capfd)
    assert all(path.exists() for path in files)


def test_one_run_is_not_trained_twice_at_once(tmp_path, capfd, monkeypatch):
    """The second program names the first; when the first is gone, however it went, its lock is too."""
    monkeypatch.setattr("lightning_cv.run.lock._WAIT_S", 0.5)
    run = tmp_path / "run"

    class Wait(Kill):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == self.step:
                os.close(written)
                signal.pause()

    readable, written = os.pipe()

    def program() -> int:
        start = fit_module._Start
        fit_module._Start = lambda signals: _with(start(signals), (Wait(3),))
        return main([*FIT, f"--run-dir={run}"])

    child = fork(program)
    os.close(written)
    os.read(readable, 1)  # ends when the child closes its end
    os.close(readable)
    try:
        assert f"is being trained by process {child} on " in refused([*FIT, f"--run-dir={run}"], capfd)
    finally:
        os.kill(child, signal.SIGKILL)
        status_of(child)
    assert run_until([*FIT, f"--run-dir={run}"]) == 0
