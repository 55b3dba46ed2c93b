"""How does training end at a signal, on all processes at the same step and with a snapshot?"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from lightning_cv.callbacks import Snapshot, skip_idle_hooks
from lightning_cv.errors import Preempted

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
AGREE_EVERY_S = 1.0


class StopSignals:
    """Notes SIGTERM, SIGINT and SIGUSR1 while training runs; at any other time they end the program at once.

    A second SIGINT ends the program without waiting for the end of the step; any other signal that follows one
    leaves the program time to end.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.training = False
        self.failing = False  # the training ends already, for another reason
        self._raised = False

    def install(self) -> None:
        """Take the signals; again after Lightning has, whose handler waits for the other processes for ever."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None and number == signal.SIGINT
        self.received = signal.Signals(number)
        if (not self.training and not self.failing and not self._raised) or again:
            self._raised = True
            raise Preempted(f"{self.received.name} received")


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Take the signals as long as the context lasts."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signals = StopSignals()
    signals.install()
    try:
        yield signals
    finally:
        for number, handler in before.items():
            # torchrun sends SIGTERM once any process has failed: this one still has its own status to give.
            ignored = signals.failing and number == signal.SIGTERM and "TORCHELASTIC_RUN_ID" in os.environ
            signal.signal(number, signal.SIG_IGN if ignored else handler)


@skip_idle_hooks
class StopOnSignal(Checkpoint):
    """Ends training at the end of an optimizer step, or within a validation, once any process got a signal.

    Processes that train together agree about once a second, on a group of their own on the CPU, so that all
    of them leave at the same step: each with the state that the snapshot holds. Lightning keeps callbacks of
    this kind behind all others; among them it must stand behind every `Snapshot`.

    Args:
        signals: what this process has received.

    Raises:
        Preempted: in training, after the snapshot.
    """

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals
        self._group: Any = None
        self._batches = 0  # since the processes last agreed
        self._interval = 1  # batches until they agree next
        self._checked_s = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning from requeueing a job of SLURM itself: what started the job does, once all is saved."""
        environment = trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment):
            environment.auto_requeue = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the group in which the processes agree."""
        if trainer.world_size > 1:
            self._group = distributed.new_group(backend="gloo")

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning."""
        self._signals.install()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on a signal waits for the end of its step."""
        self._signals.install()
        self._signals.training = True
        self._restart()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop behind an optimizer step, where a snapshot is complete."""
        self._batches += 1
        if not trainer.fit_loop._should_accumulate() and self._asked():
            self._stop(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the batches of the validation."""
        self._restart()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop within a long validation; it starts anew after a resume."""
        self._batches += 1
        # A set with fewer samples than processes leaves some of them without the first batch.
        shared = batch_idx > 0 or trainer.world_size == 1
        if self._signals.training and shared and not trainer.sanity_checking and self._asked():
            self._stop(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the batches of training."""
        self._restart()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Everything is saved: a signal may end the program at once."""
        self._signals.training = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Nothing more is saved."""
        self._signals.training = False

    def _restart(self) -> None:
        self._batches, self._interval, self._checked_s = 0, 1, time.monotonic()

    def _asked(self) -> bool:
        """Whether any process got a signal; every process calls it after the same batch."""
        if self._group is None:
            return self._signals.received is not None
        if self._batches < self._interval:
            return False
        now_s = time.monotonic()
        said = torch.tensor([float(self._signals.received is not None), (now_s - self._checked_s) / self._batches])
        distributed.all_reduce(said, op=distributed.ReduceOp.MAX, group=self._group)
        asked, slowest_s = said.tolist()
        self._batches, self._checked_s = 0, now_s
        self._interval = max(1, min(1000, int(AGREE_EVERY_S / max(slowest_s, 1e-6))))
        return bool(asked)

    def _stop(self, trainer: Trainer, task: LightningModule) -> None:
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, Snapshot):
                callback.save_now(trainer, task)
        name = self._signals.received.name if self._signals.received else "a signal to another process"
        raise Preempted(f"{name} received at epoch {trainer.current_epoch}, step {trainer.global_step}", agreed=True)


def is_launched_by_lightning() -> bool:
    """Whether Lightning's own launcher started this process for a further device.

    It kills the first process, which writes the end of the run, as soon as one of these ends with an error.
    """
    external = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ
    return os.environ.get("LOCAL_RANK", "0") != "0" and not external
