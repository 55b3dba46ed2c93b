"""Are all weights of a task finite, so that they are worth keeping?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.contracts import is_trainable_task

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class FiniteWeights:
    """Decides, on the first device for all, whether weights may be saved; says once where they may not."""

    def __init__(self) -> None:
        self._warned = False

    def __call__(self, trainer: Trainer, task: LightningModule) -> bool:
        """Whether every weight is finite; every process calls it."""
        finite: bool = trainer.strategy.broadcast(all_finite(task))
        if not finite and not self._warned:
            self._warned = True
            rank_zero_warn("Snapshot: the weights are not finite and are not saved; earlier snapshots stay.")
        return finite


def all_finite(task: LightningModule) -> bool:
    """Whether no weight or buffer, averaged ones included, is NaN or infinite; waits for the device once."""
    tensors = list(task.state_dict().values())
    if is_trainable_task(task) and task.averaged is not None:
        tensors += list(task.averaged.state_dict().values())
    checks = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
