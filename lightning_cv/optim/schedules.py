"""How does the learning rate change from one optimizer step to the next?"""

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_cv.errors import UserError


@dataclass(frozen=True)
class Horizon:
    """How long the training is, in optimizer steps (after accumulation, as every device counts them).

    Args:
        total_steps: optimizer steps of the whole training, those before a resume included.
        steps_per_epoch: optimizer steps of one epoch; no whole number where an optimizer steps in some batches only.
    """

    total_steps: int
    steps_per_epoch: float


class Schedule(ABC):
    """Makes the scheduler of an optimizer once the length of the training is known."""

    @abstractmethod
    def configure(self, optimizer: Optimizer, horizon: Horizon) -> dict[str, Any]:
        """Return Lightning's description of a scheduler: `scheduler`, `interval`, `frequency`, ..."""


class Curve(Schedule):
    """A schedule that is a function of the optimizer step: a closed form, so a resume cannot disturb it.

    The rate of each parameter group at step t = 0, 1, ... is its base rate times
    `factor(t) = min(1, (t + 1) / (W + 1)) * decay(t)`, where W is `warmup_steps`: a line that would be 0 one
    step before the training and reaches the base rate at step W, so that no step is lost to a rate of 0.

    Args:
        warmup_steps: optimizer steps W of linear warm-up before the full base rate; 0 for none.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise UserError(f"{type(self).__name__}: warmup_steps is {warmup_steps}; allowed: 0 or more")
        self.warmup_steps = warmup_steps

    @abstractmethod
    def decay(self, step: int, horizon: Horizon) -> float:
        """Multiplier of the base rate at `step` without the warm-up's ramp."""

    def factor(self, step: int, horizon: Horizon) -> float:
        """Multiplier of the base rate at optimizer step `step`, counted from 0."""
        ramp = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return ramp * self.decay(step, horizon)

    def configure(self, optimizer: Optimizer, horizon: Horizon) -> dict[str, Any]:
        """Return Lightning's description of a scheduler that is stepped with the optimizer.

        The horizon is not part of its state: a resume with a longer training follows the longer curve.
        """
        if 0 < horizon.total_steps <= self.warmup_steps:
            warnings.warn(
                f"{type(self).__name__}: warmup_steps {self.warmup_steps} leaves nothing of the "
                f"{horizon.total_steps} optimizer steps: the base rate is never reached",
                stacklevel=2,
            )
        # A plain function: LambdaLR would write the fields of any other callable into the checkpoint.
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step, horizon))
        return {"scheduler": scheduler, "interval": "step", "frequency": 1}

    def progress(self, step: int, horizon: Horizon) -> float:
        """Share t/T of the decay that is over at `step`: 0 until the warm-up ends, 1 at the very end."""
        length = max(1, horizon.total_steps - self.warmup_steps)
        return min(1.0, max(0, step - self.warmup_steps) / length)


class Constant(Curve):
    """The base rate throughout (row 116).

    Args:
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return 1."""
        return 1.0


class Step(Curve):
    """The base rate times `gamma` to the number of milestones passed (row 117).

    Args:
        milestones: epochs, counted from the start of the training (warm-up included), at which the rate is
            multiplied; increasing. A fraction of an epoch falls on the nearest optimizer step.
        gamma: what the rate is multiplied by, > 0.
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def __init__(self, milestones: list[float], gamma: float = 0.1, warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        if not milestones or milestones[0] <= 0 or sorted(set(milestones)) != list(milestones):
            raise UserError(f"Step: milestones is {milestones}; allowed: increasing epochs above 0")
        if not gamma > 0:
            raise UserError(f"Step: gamma is {gamma}; allowed: above 0")
        self.milestones = milestones
        self.gamma = gamma

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return gamma to the number of milestones at or before `step`."""
        passed = sum(step >= round(epoch * horizon.steps_per_epoch) for epoch in self.milestones)
        return self.gamma**passed


class _ToFinal(Curve):
    """A curve from the base rate to `final_factor` of it."""

    def __init__(self, final_factor: float = 0.0, warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        if not 0 <= final_factor <= 1:
            raise UserError(f"{type(self).__name__}: final_factor is {final_factor}; allowed: 0 to 1")
        self.final_factor = final_factor


class Cosine(_ToFinal):
    """Half a cosine from the base rate to `final_factor` of it (row 118).

    decay = f + (1 - f) (1 + cos(pi t / T)) / 2 (Loshchilov and Hutter 2017, SGDR, eq. 5, without restarts),
    with t and T counted from the end of the warm-up.

    Args:
        final_factor: what is left of the base rate after the last step, 0 to 1.
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return the cosine's multiplier."""
        share = (1 + math.cos(math.pi * self.progress(step, horizon))) / 2
        return self.final_factor + (1 - self.final_factor) * share


class Linear(_ToFinal):
    """A line from the base rate to `final_factor` of it (row 119).

    decay = f + (1 - f) (1 - t / T), with t and T counted from the end of the warm-up.

    Args:
        final_factor: what is left of the base rate after the last step, 0 to 1.
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return the line's multiplier."""
        return self.final_factor + (1 - self.final_factor) * (1 - self.progress(step, horizon))


class Polynomial(_ToFinal):
    """A power of what is left of the training, as segmentation is often trained ("poly"; Chen et al. 2017).

    decay = f + (1 - f) (1 - t / T)^power, with t and T counted from the end of the warm-up.

    Args:
        power: above 0; 1 is a line.
        final_factor: what is left of the base rate after the last step, 0 to 1.
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def __init__(self, power: float = 0.9, final_factor: float = 0.0, warmup_steps: int = 0) -> None:
        super().__init__(final_factor, warmup_steps)
        if not power > 0:
            raise UserError(f"Polynomial: power is {power}; allowed: above 0")
        self.power = power

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return the power's multiplier."""
        left = max(0.0, 1 - self.progress(step, horizon))
        return self.final_factor + (1 - self.final_factor) * left**self.power


class InverseSqrt(Curve):
    """The base rate over the square root of the step counted from 1 (row 120; t = 0 would be infinite).

    decay = 1 / sqrt(t), with t = 1 at the first step after the warm-up: the rate has halved at t = 4.

    Args:
        warmup_steps: optimizer steps of linear warm-up before the full base rate; 0 for none.
    """

    def decay(self, step: int, horizon: Horizon) -> float:
        """Return the inverse root's multiplier."""
        return 1 / math.sqrt(max(0, step - self.warmup_steps) + 1)
