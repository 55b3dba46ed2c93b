"""How are weights kept small, or zero, by a penalty that no optimizer interprets in its own way?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from lightning_cv.callbacks.curves import log_values
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import is_trainable_task
from lightning_cv.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.optim import Optimizer


@skip_idle_hooks
class WeightPenalty(Callback):
    """Adds l1 · Σ|w| + l2 · Σw² to what is minimized: L1, L2, or with both the elastic net (rows 31, 32, 33).

    Its gradient, l1 · sign(w) + 2 · l2 · w, joins that of the loss before gradients are clipped; an adaptive optimizer
    then scales it like any other gradient. (`weight_decay` of torch's SGD is 2 · l2; that of AdamW is no gradient.)
    Biases and what else has fewer than two dimensions is left alone. The penalty's value is logged as
    `train/weight_penalty` at the end of an epoch.

    Args:
        l1: factor of the sum of magnitudes, 0 or more; drives weights to zero.
        l2: factor of the sum of squares, 0 or more; keeps weights small and spread out.

    Raises:
        UserError: a negative factor.

    Source: Zou and Hastie: Regularization and variable selection via the elastic net, 2005.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in (("l1", l1), ("l2", l2)):
            if not value >= 0:
                raise UserError(f"WeightPenalty: {name} is {value}; allowed: 0 or more")
        self.l1 = l1
        self.l2 = l2

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add the gradient of the penalty, the same on all devices."""
        weights: list[Tensor] = [weight for weight in _penalized(pl_module) if weight.grad is not None]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if not weights:
            return
        with torch.no_grad():
            if self.l1:
                torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.l1)
            if self.l2:
                torch._foreach_add_(gradients, weights, alpha=2 * self.l2)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the penalty."""
        if self.l1 or self.l2:
            values = {"train/weight_penalty": float(self.value(_penalized(pl_module)))}
            log_values(trainer, values, step=trainer.global_step)

    def value(self, weights: Sequence[Tensor]) -> Tensor:
        """The penalty of these weights, a scalar."""
        with torch.no_grad():
            sums = [self.l1 * weight.abs().sum() + self.l2 * weight.square().sum() for weight in weights]
            return torch.stack(sums).sum() if sums else torch.zeros(())


def _penalized(task: LightningModule) -> list[nn.Parameter]:
    if not is_trainable_task(task):
        raise UserError(f"WeightPenalty: {type(task).__name__} is no task with a network")
    return [weight for weight in task.network.parameters() if weight.requires_grad and weight.ndim > 1]
