"""Which metric does a callback watch when the recipe names none? The one that the task states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lightning_cv.contracts import is_trainable_task
from lightning_cv.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

Mode = Literal["min", "max"]


def watched_metric(task: LightningModule, monitor: str | None, *, mode: Mode | None, callback: str) -> tuple[str, Mode]:
    """The metric's name and whether less or more of it is better, given ones before the task's.

    Raises:
        UserError: a name without a mode for a metric that is not the task's, or a task that states none.
    """
    own = task if is_trainable_task(task) else None
    name = monitor or (own.monitor if own else None)
    if name is None:
        raise UserError(f"{callback}: monitor is not given and {type(task).__name__} states none; set monitor")
    if mode is None and own is not None and name == own.monitor:
        mode = own.mode
    if mode is None:
        raise UserError(f"{callback}: mode is not given for monitor {name!r}; set mode to min or max")
    if mode not in ("min", "max"):
        raise UserError(f"{callback}: mode is {mode!r}; allowed are min and max")
    return name, mode


def is_logged(monitor: str, trainer: Trainer, *, callback: str) -> bool:
    """Whether the watched metric has a value.

    Raises:
        UserError: there is validation, and nothing has logged it; names it and the metrics that exist.
    """
    known = monitor in trainer.callback_metrics
    if not known and trainer.enable_validation:
        names = ", ".join(sorted(trainer.callback_metrics)) or "none"
        raise UserError(f"{callback}: monitor {monitor!r} was not logged; logged metrics are: {names}")
    return known
