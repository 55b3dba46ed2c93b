"""Which weights are kept on disk? Those of the best validations, and the last ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.watched import Mode, unknown_metric, watched_metric
from lightning_cv.contracts import is_trainable_task
from lightning_cv.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

LAST = "last.ckpt"


@skip_idle_hooks
class Snapshot(ModelCheckpoint):
    """Keeps the best weights seen in validation and the last ones (catalogue row 122).

    In the folder `checkpoints` of the run: `best-epoch<e>-step<s>.ckpt` (epochs from 0) for the best values
    of the metric, and `last.ckpt`, which every save replaces and from which training goes on. Weights with a
    NaN or an infinite value are never saved: the files that are there stay. Files hold tensors and plain
    values only and load with `weights_only=True`.

    Differs from Lightning's `ModelCheckpoint`: `last.ckpt` is written at every save, not only when the
    metric got better, also without validation data, and its name never gets a version.

    Args:
        save_top_k: number of best snapshots kept; 0: none; -1: all.
        save_last: keep `last.ckpt`.
        monitor: metric that tells the best; None: the task's.
        mode: whether less ("min") or more ("max") is better; None: the task's.
        every_n_epochs: epochs between two saves, at least 1; the end of training always saves `last.ckpt`.
        every_n_steps: optimizer steps after which `last.ckpt` is written besides; None: at epochs only.

    Raises:
        UserError: a value outside its range, or a metric that was not logged, with those that were.
    """

    def __init__(
        self,
        save_top_k: int = 1,
        save_last: bool = True,
        monitor: str | None = None,
        mode: Mode | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
    ) -> None:
        for name, value, least in (
            ("save_top_k", save_top_k, -1),
            ("every_n_epochs", every_n_epochs, 1),
            ("every_n_steps", every_n_steps or 1, 1),
        ):
            if value < least:
                raise UserError(f"Snapshot: {name} is {value}; allowed is {least} or more")
        if mode not in (None, "min", "max"):
            raise UserError(f"Snapshot: mode is {mode!r}; allowed are min and max")
        super().__init__(
            filename="best-epoch{epoch:03d}-step{step:06d}",
            auto_insert_metric_name=False,
            monitor=monitor or "",
            mode=mode or "min",
            save_last=False,  # Lightning's writes it only when the metric got better; ours is _save_last
            save_top_k=save_top_k,
            every_n_epochs=every_n_epochs,
            enable_version_counter=False,
        )
        self._given: tuple[str | None, Mode | None] = (monitor, mode)
        self._keeps_last = save_last
        self._last_period = every_n_steps
        self._last_step = -1
        self._validated_step = -1
        self._warned = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric from the task and the folder from the run."""
        monitor, mode = self._given
        self.monitor, self.mode = watched_metric(pl_module, monitor, mode=mode, callback="Snapshot")
        if not self.best_k_models:
            self.kth_value = torch.tensor(-torch.inf if self.mode == "max" else torch.inf)
        self.dirpath = os.path.realpath(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew: what an earlier fit validated or saved says nothing about this one."""
        super().on_train_start(trainer, pl_module)
        self._last_step = self._validated_step = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write `last.ckpt` where its period ends."""
        if self._last_period and trainer.global_step % self._last_period == 0:
            self.on_train_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where validations are not one an epoch."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated_step = trainer.global_step
        if trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1:
            return  # the end of the epoch follows, where the other callbacks have counted this validation
        if self._finite(trainer, pl_module):
            if self._metric_is_known(trainer):
                super().on_validation_end(trainer, pl_module)
            self._save_epoch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the epoch and its validation; a metric of earlier weights names no best ones."""
        if self._finite(trainer, pl_module):
            fresh = self._validated_step == trainer.global_step or not trainer.enable_validation
            if fresh and self._metric_is_known(trainer):
                super().on_train_epoch_end(trainer, pl_module)
            self._save_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state in which training ends."""
        if self._last_is_due(trainer) and self._finite(trainer, pl_module):
            self._save_last(trainer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the files and scores of before; Lightning forgets the latest score."""
        super().load_state_dict(state_dict)
        self.current_score = state_dict["current_score"]

    def _save_epoch(self, trainer: Trainer) -> None:
        assert self.every_n_epochs
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0 and self._last_is_due(trainer):
            self._save_last(trainer)

    def _last_is_due(self, trainer: Trainer) -> bool:
        unsaved = trainer.global_step not in (0, self._last_step)
        fast_dev_run: bool = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
        return self._keeps_last and unsaved and not fast_dev_run

    def _save_last(self, trainer: Trainer) -> None:
        assert self.dirpath
        self._last_step = trainer.global_step
        self.last_model_path = os.fspath(Path(self.dirpath) / LAST)
        trainer.save_checkpoint(self.last_model_path)

    def _metric_is_known(self, trainer: Trainer) -> bool:
        assert self.monitor
        known = self.monitor in trainer.callback_metrics
        if not known and trainer.enable_validation and self.save_top_k != 0:
            raise unknown_metric("Snapshot", self.monitor, trainer.callback_metrics)
        return known

    def _finite(self, trainer: Trainer, task: LightningModule) -> bool:
        """Whether every weight is finite, decided by the first device for all; warns where not."""
        finite: bool = trainer.strategy.broadcast(_all_finite(task))
        if not finite and not self._warned:
            self._warned = True
            rank_zero_warn("Snapshot: the weights are not finite and are not saved; earlier snapshots stay.")
        return finite


def _all_finite(task: LightningModule) -> bool:
    tensors = list(task.state_dict().values())
    if is_trainable_task(task) and task.averaged is not None:
        tensors += list(task.averaged.state_dict().values())
    checks = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
