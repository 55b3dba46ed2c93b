"""One process or two: the launcher, the run folder and every number, through the command itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_cv.cli.main import main
from tests.callbacks.tiny import newest
from tests.processes import fork, status_of
from tests.resuming import differences
from tests.run.test_begin import by_torchrun, start

# Without layers that act on each device's share of the batch alone, two devices compute what one does.
EXACT = [
    "digits_mlp",
    "--test",
    "--model.init_args.network.init_args.dropout=0",
    "--data.init_args.batch_transforms=null",
    "--callbacks.ema.class_path=lightning_cv.callbacks.Ema",
    "--callbacks.ema.init_args.scored=both",
    "--callbacks.confusion_matrix.class_path=lightning_cv.callbacks.ConfusionMatrix",
    "--trainer.max_epochs=3",
    "--trainer.accelerator=cpu",
    "--trainer.enable_model_summary=false",
    "--model.init_args.schedule.init_args.warmup_steps=5",
]


def fit(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run `lightning-cv fit` as a user does; the launcher starts it again for the second device."""
    program = str(Path(sys.executable).with_name("lightning-cv"))
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [program, "fit", *arguments, f"--run-dir={folder}"]
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, cwd=folder.parent)


def events(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_and_score_as_one(tmp_path, capfd):
    """Same recipe on 1 and 2 devices: same steps, curves, scores, averaged weights; one folder and one W&B run.

    The global batch, its samples, the ragged last batch and uneven evaluation shards are the same by
    construction; sums over devices differ from those of one device by rounding only.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    assert status_of(fork(lambda: main(["fit", *EXACT, f"--run-dir={one}"]))) == 0
    capfd.readouterr()
    line = ["fit", *EXACT, "--trainer.devices=2", "--trainer.strategy=ddp", f"--run-dir={two}"]
    assert start(line, by_torchrun) == [0, 0]
    assert capfd.readouterr().out.count("\nrun ") == 1
    assert len(list(two.glob("wandb/offline-run-*"))) == 1
    assert [event["event"] for event in events(two)] == [event["event"] for event in events(one)]
    for first, second in zip(events(one), events(two), strict=True):
        assert first["samples_seen"] == second["samples_seen"]
        for name, value in first["metrics"].items():
            if not name.startswith("throughput"):
                assert second["metrics"][name] == pytest.approx(value, rel=2e-3, abs=2e-4), name
        assert "val_raw/loss" in first["metrics"] or first["event"] in ("curve", "test")
    states = [torch.load(newest(run), weights_only=True) for run in (one, two)]
    for name, value in states[0]["averaged_network"].items():
        torch.testing.assert_close(states[1]["averaged_network"][name], value, rtol=1e-3, atol=1e-4)
    assert (one / "confusion_matrix_test.csv").read_text() == (two / "confusion_matrix_test.csv").read_text()


@pytest.mark.slow
def test_a_mistake_found_by_both_processes_ends_both_with_the_same_line(tmp_path):
    """A class count that does not match the data ends both processes, each with that one line, and status 2."""
    done = fit(
        [*EXACT, "--trainer.devices=2", "--trainer.strategy=ddp", "--model.init_args.network.init_args.num_classes=7"],
        tmp_path / "two",
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(set(errors)) == 1
    assert "has 7 classes, but the data have 10" in errors[0]
    assert "Traceback" not in done.stderr


SIGNALS = '''
import os
import signal

from lightning.pytorch.callbacks import Callback


class Send(Callback):
    """Sends SIGTERM to one of the processes that train, before its step 5."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == self.rank and trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
'''


@pytest.mark.slow
def test_a_signal_to_the_second_process_ends_both_and_the_same_command_goes_on(tmp_path):
    """Through the command and its launcher: status 75, one line, one snapshot; then the bits of the straight run."""
    (tmp_path / "signals.py").write_text(SIGNALS)
    two = [*EXACT, "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.logger=false"]
    send = ["--allow-code=signals", "--callbacks.send.class_path=signals.Send"]
    done = fit([*two, *send, "--callbacks.send.init_args.rank=1"], tmp_path / "cut")
    assert done.returncode == 75, done.stderr[-3000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("stopped: ")]
    assert len(lines) == 1
    assert lines[0].endswith("go on with: lightning-cv fit --resume " + str(tmp_path / "cut"))
    stopped_at = torch.load(newest(tmp_path / "cut"), weights_only=True)
    # The processes agree once a second: a few of these small steps later.
    assert 4 < stopped_at["global_step"] < 63
    assert len(stopped_at["random"]) == 2
    assert fit(two, tmp_path / "cut").returncode == 0
    assert fit(two, tmp_path / "straight").returncode == 0
    ends = [torch.load(newest(tmp_path / name), weights_only=True) for name in ("cut", "straight")]
    for part in ("state_dict", "averaged_network", "optimizer_states", "random"):
        assert not differences(ends[0][part], ends[1][part])
