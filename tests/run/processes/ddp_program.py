"""A program that trains in one of two processes and goes wrong where it is told to; also started by torchrun.

`python -m tests.run.processes.ddp_program FOLDER KIND PHASE RANK`: as the command line would run a verb.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from lightning_cv.callbacks import Progress, Snapshot
from lightning_cv.cli import main
from lightning_cv.errors import DataError, NonFiniteLossError, Preempted
from lightning_cv.run.processes.together import Together
from lightning_cv.run.stop import StopOnSignal, stop_signals
from lightning_cv.tasks import Classify
from tests.resuming import Dots

STEP = 3  # from which on it goes wrong; the validations and saves are those of steps 5 and 10


KINDS: dict[str, Callable[[], Any]] = {
    "data": lambda: _raise(DataError("/data/cat.png: cannot be read")),
    "diverged": lambda: _raise(NonFiniteLossError("epoch 0, batch 3: the training loss became nan")),
    "memory": lambda: _raise(MemoryError()),
    "bug": lambda: _raise(TypeError("boom")),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda: threading.Event().wait(),
}


def _raise(error: Exception) -> None:
    raise error


class Fault(Callback):
    """Goes wrong in one phase of one process."""

    def __init__(self, kind: str, phase: str, rank: int) -> None:
        self.kind, self.phase, self.rank = kind, phase, rank

    def _at(self, phase: str, trainer: Trainer) -> None:
        due = phase == "setup" or trainer.global_step >= STEP
        if phase == self.phase and trainer.global_rank == self.rank and due:
            KINDS[self.kind]()

    def setup(self, trainer, pl_module, stage):
        self._at("setup", trainer)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._at("train", trainer)

    def on_before_backward(self, trainer, pl_module, loss):
        self._at("backward", trainer)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._at("validation", trainer)

    def on_train_start(self, trainer, pl_module):
        step = pl_module.validation_step

        def validation_step(batch, batch_idx):
            if batch_idx == 1:
                self._at("validation step", trainer)
            return step(batch, batch_idx)

        pl_module.validation_step = validation_step

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self._at("save", trainer)


def run(arguments: Sequence[str]) -> int:
    """The verb."""
    folder, kind, phase, rank = arguments
    with stop_signals() as signals:
        together = Together(signals)
        try:
            fit(Path(folder), together, Fault(kind, phase, int(rank)), StopOnSignal(signals))
            together.finish()
        except Preempted as stopped:
            together.stop(stopped)
            raise
        except Exception as error:
            return together.end(error)
    return 0


def fit(folder: Path, together: Together, *callbacks: Any, network: nn.Module | None = None, **options: Any) -> Trainer:
    """Train two epochs of five steps on each of two processes."""
    torch.manual_seed(2)
    together.join(folder)
    settings: dict[str, Any] = {"devices": 2, "strategy": "ddp", "max_epochs": 2, "num_sanity_val_steps": 0}
    trainer = Trainer(
        callbacks=[*together.callbacks, Progress(), Snapshot(), *callbacks],
        accelerator="cpu",
        default_root_dir=str(folder),
        logger=False,
        enable_model_summary=False,
        **(settings | options),
    )
    network = network or nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    task = Classify(network, lambda groups: torch.optim.SGD(groups, lr=0.01))

    def hurry(error: BaseException) -> None:
        for callback in callbacks_of(trainer):
            if isinstance(callback, Progress):
                callback.on_exception(trainer, task, error)

    together.begin(trainer, folder, hurry=hurry)
    trainer.fit(task, datamodule=Dots(batch_size=8))
    return trainer


def callbacks_of(trainer: Any) -> list[Callback]:
    return list(trainer.callbacks)


def write_stderr_to(path: Path) -> None:
    """Of this process from now on, whatever pytest had done with it."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - open until the process ends


def as_verb(arguments: Sequence[str]) -> int:
    """What `lightning-cv` would print and return."""
    main.VERBS["train-two"] = ("tests.run.processes.ddp_program", "train in two processes")
    return main.main(["train-two", *arguments])


if __name__ == "__main__":
    sys.exit(as_verb(sys.argv[1:]))
