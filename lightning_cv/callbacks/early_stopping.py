"""When does training stop because the watched metric no longer gets better?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.watched import Mode, is_logged, watched_metric
from lightning_cv.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


@skip_idle_hooks
class EarlyStopping(LightningEarlyStopping):
    """Stops training `patience` validations after the last one that was better (catalogue row 121).

    Lightning's callback, with the metric and its direction taken from the task. The count is part of the
    checkpoint; the sanity check does not count. Without validation data it warns once and does nothing.

    Args:
        patience: validations without improvement after which training stops, at least 1.
        monitor: metric to watch; None: the task's.
        mode: whether less ("min") or more ("max") is better; None: the task's.
        min_delta: smallest difference that counts as better, at least 0.
        check_finite: stop at once when the metric is NaN or infinite.
        stopping_threshold: stop at once when the metric is better than this; None: never.

    Raises:
        UserError: a value outside its range, or a metric that was not logged, with those that were.
    """

    def __init__(
        self,
        patience: int = 5,
        monitor: str | None = None,
        mode: Mode | None = None,
        min_delta: float = 0.0,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
    ) -> None:
        if patience < 1:
            raise UserError(f"EarlyStopping: patience is {patience}; allowed is 1 or more")
        if min_delta < 0:
            raise UserError(f"EarlyStopping: min_delta is {min_delta}; allowed is 0 or more")
        if mode not in (None, "min", "max"):
            raise UserError(f"EarlyStopping: mode is {mode!r}; allowed are min and max")
        super().__init__(
            monitor=monitor or "",
            mode=mode or "min",
            min_delta=min_delta,
            patience=patience,
            check_finite=check_finite,
            stopping_threshold=stopping_threshold,
        )
        self._given: tuple[str | None, Mode | None] = (monitor, mode)
        self._validated_step = -1
        self._had_stopped = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric and its direction from the task where the recipe gives none."""
        monitor, mode = self._given
        self.monitor, self.mode = watched_metric(pl_module, monitor, mode=mode, callback="EarlyStopping")
        better_is_more = self.mode == "max"
        self.min_delta = abs(self.min_delta) if better_is_more else -abs(self.min_delta)
        if not torch.isfinite(self.best_score):
            self.best_score = torch.tensor(-torch.inf if better_is_more else torch.inf)
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say so where there is nothing to watch; end at once where the checkpoint was of a run that had stopped."""
        if self._had_stopped:
            trainer.should_stop = True
        if not trainer.enable_validation and not self.monitor.startswith("train/"):
            rank_zero_warn(f"EarlyStopping does nothing: no validation data, so {self.monitor!r} is not logged.")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch's validation; where training stopped short of it, there is nothing to count."""
        fresh = self._validated_step == trainer.global_step or not trainer.enable_validation
        if fresh and is_logged(self.monitor, trainer, callback="EarlyStopping"):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count a validation where these are not one an epoch."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated_step = trainer.global_step
        if is_logged(self.monitor, trainer, callback="EarlyStopping"):
            super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why training stopped."""
        if self.stopping_reason_message:
            rank_zero_info(self.stopping_reason_message)

    def state_dict(self) -> dict[str, Any]:
        """The count, the best score, and whether training was stopped."""
        return super().state_dict() | {"validated_step": self._validated_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting; with the patience of the recipe, which may have become longer."""
        patience = self.patience
        super().load_state_dict(state_dict)
        self.patience = patience
        self._validated_step = state_dict["validated_step"]
        if self.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED and self.wait_count < patience:
            self.stopping_reason, self.stopping_reason_message = EarlyStoppingReason.NOT_STOPPED, None
        self._had_stopped = self.stopping_reason is not EarlyStoppingReason.NOT_STOPPED
