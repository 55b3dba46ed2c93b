"""Are all weights of a task finite, so that they are worth keeping?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lightning_cv.contracts import is_trainable_task

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule


def all_finite(task: LightningModule) -> bool:
    """Whether no weight or buffer, averaged ones included, is NaN or infinite; waits for the device once."""
    tensors = list(task.state_dict().values())
    if is_trainable_task(task) and task.averaged is not None:
        tensors += list(task.averaged.state_dict().values())
    checks = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
