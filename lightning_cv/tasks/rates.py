"""With which rates, and over how many steps, does a task train in this Trainer?"""

import math
import warnings
from typing import Any

import lightning.pytorch as pl
from torch.optim import Optimizer

from lightning_cv.contracts import SharesBatches
from lightning_cv.errors import UserError
from lightning_cv.optim import Horizon, RateScaling, Schedule, scale_rates


def samples_per_step(trainer: pl.Trainer) -> int | None:
    """Samples an optimizer step, over all devices and micro-batches; None: the data do not tell."""
    data = getattr(trainer, "datamodule", None)
    return data.global_batch_size * trainer.accumulate_grad_batches if isinstance(data, SharesBatches) else None


def scale_to_batch(optimizer: Optimizer, scaling: RateScaling | None, trainer: pl.Trainer) -> float:
    """Let the rates follow from the batch, if the recipe wants that; returns what they were multiplied by.

    Raises:
        UserError: the data do not tell how many samples a step has.
    """
    if scaling is None:
        return 1.0
    num_samples = samples_per_step(trainer)
    if num_samples is None:
        raise UserError(
            "model.init_args.lr_scaling needs data that count a batch over all devices, as those of lightning_cv.data"
            " do; set it to null, and the rate to the one that you want"
        )
    factor = scaling.factor(num_samples)
    scale_rates(optimizer, factor)
    return factor


def configure_schedule(
    schedule: Schedule, optimizer: Optimizer, trainer: pl.Trainer, *, every: int = 1
) -> dict[str, Any]:
    """Lightning's description of the scheduler, over the real number of steps.

    Args:
        schedule: as the recipe states it.
        optimizer: whose rates it changes.
        trainer: knows the number of its steps.
        every: in so many of these the optimizer steps once.

    Raises:
        UserError: the training has no end.
    """
    trainer.fit_loop.setup_data()
    total = trainer.estimated_stepping_batches
    if math.isinf(total):
        raise UserError(
            "model.init_args.schedule needs an end: set trainer.max_epochs or trainer.max_steps (both are unlimited)"
        )
    per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    steps_per_epoch = per_epoch if every == 1 else per_epoch / every
    return schedule.configure(optimizer, Horizon(int(total) // every, steps_per_epoch))


def warn_if_ignored(optimizer: Optimizer, rates: list[float]) -> None:
    """Say so where a scheduler has put rates of its own in the place of these, one a parameter group."""
    if any(group.get("initial_lr", rate) != rate for group, rate in zip(optimizer.param_groups, rates, strict=True)):
        warnings.warn(
            "model.init_args.lr_scaling is ignored: the schedule states its own rates; set it to null", stacklevel=2
        )
