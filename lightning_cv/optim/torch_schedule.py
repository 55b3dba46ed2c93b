"""How are the learning-rate schedulers of torch used from a recipe?"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau, SequentialLR

from lightning_cv.errors import UserError
from lightning_cv.optim.schedules import Horizon, Schedule


class TorchSchedule(Schedule):
    """Any scheduler of torch, with the lengths that torch's own arguments state.

    Args:
        scheduler: the class under `torch.optim.lr_scheduler` and its arguments without the optimizer.
        interval: what one step of the scheduler is: an optimizer `step` or an `epoch`.
        monitor: the metric, such as `val/loss`, that ReduceLROnPlateau watches; only for that one.
    """

    def __init__(
        self,
        scheduler: Callable[[Optimizer], LRScheduler],
        interval: Literal["step", "epoch"] = "epoch",
        monitor: str | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.interval = interval
        self.monitor = monitor

    def configure(self, optimizer: Optimizer, horizon: Horizon) -> dict[str, Any]:
        """Return Lightning's description of the scheduler."""
        scheduler = self.scheduler(optimizer)
        described = {"scheduler": scheduler, "interval": self.interval, "frequency": 1}
        if isinstance(scheduler, ReduceLROnPlateau):
            if self.monitor is None:
                raise UserError("TorchSchedule: monitor is missing; ReduceLROnPlateau needs a metric, e.g. val/loss")
            return described | {"monitor": self.monitor, "strict": True}
        if self.monitor is not None:
            name = type(scheduler).__name__
            warnings.warn(f"TorchSchedule: monitor {self.monitor} is ignored by {name}", stacklevel=2)
        return described


class TorchSequential(Schedule):
    """Several schedulers of torch one after the other (SequentialLR).

    Args:
        schedulers: the classes under `torch.optim.lr_scheduler` and their arguments without the optimizer.
        milestones: the step of each change from one to the next, in units of `interval`; one fewer than
            schedulers.
        interval: what one step of the schedulers is: an optimizer `step` or an `epoch`.
    """

    def __init__(
        self,
        schedulers: list[Callable[[Optimizer], LRScheduler]],
        milestones: list[int],
        interval: Literal["step", "epoch"] = "epoch",
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise UserError(
                f"TorchSequential: {len(milestones)} milestones for {len(schedulers)} schedulers; "
                "allowed: one milestone fewer than schedulers"
            )
        self.schedulers = schedulers
        self.milestones = milestones
        self.interval = interval

    def configure(self, optimizer: Optimizer, horizon: Horizon) -> dict[str, Any]:
        """Return Lightning's description of the scheduler."""
        made = [scheduler(optimizer) for scheduler in self.schedulers]
        joined = SequentialLR(optimizer, made, self.milestones)
        return {"scheduler": joined, "interval": self.interval, "frequency": 1}


class TorchChained(Schedule):
    """Several schedulers of torch at once, their factors multiplied (ChainedScheduler).

    Args:
        schedulers: the classes under `torch.optim.lr_scheduler` and their arguments without the optimizer.
        interval: what one step of the schedulers is: an optimizer `step` or an `epoch`.
    """

    def __init__(
        self,
        schedulers: list[Callable[[Optimizer], LRScheduler]],
        interval: Literal["step", "epoch"] = "epoch",
    ) -> None:
        if not schedulers:
            raise UserError("TorchChained: schedulers is empty; allowed: one or more")
        self.schedulers = schedulers
        self.interval = interval

    def configure(self, optimizer: Optimizer, horizon: Horizon) -> dict[str, Any]:
        """Return Lightning's description of the scheduler."""
        chained = ChainedScheduler([scheduler(optimizer) for scheduler in self.schedulers], optimizer)
        return {"scheduler": chained, "interval": self.interval, "frequency": 1}
