"""When, and where, do callbacks write values that belong to the curves?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def log_period(trainer: Trainer) -> int:
    """Optimizer steps between two points of a curve (`trainer.log_every_n_steps`); 0: no curves."""
    period: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
    return period


def first_logged_step(trainer: Trainer) -> float:
    """The first optimizer step after the present one that is a point of the curves; infinite: none."""
    period = log_period(trainer)
    return (trainer.global_step // period + 1) * period if period else float("inf")


def log_values(trainer: Trainer, values: dict[str, float], *, step: int) -> None:
    """Write values that are no tensors to the loggers, and to the metrics that callbacks see.

    Straight to the loggers as Lightning's own `LearningRateMonitor` does: `log_dict` would collect,
    reduce and write them a second time.
    """
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
    for logger in trainer.loggers:
        logger.log_metrics(values, step=step)
