"""How does the learning rate follow from the number of samples in a step?"""

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer

from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint

RULES = ("linear", "sqrt")


@dataclass(frozen=True)
class RateScaling:
    """The rates that a recipe states are those for `batch` samples an optimizer step; with others they follow.

    With k times as many samples, "linear" multiplies every rate by k (Goyal et al. 2017, arXiv:1706.02677,
    section 2.1) and "sqrt" by the root of k (Krizhevsky 2014, arXiv:1404.5997, section 5). Goyal et al. found the
    linear rule to hold up to 8,192 samples, with a warm-up; for Adam and its kin the root is the usual one.

    Args:
        batch: samples an optimizer step for which the stated rates hold, over all devices and micro-batches.
        rule: how the rates follow.

    Raises:
        UserError: no samples, or another rule.
    """

    batch: int
    rule: Literal["linear", "sqrt"] = "linear"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UserError(f"lr_scaling: batch is {self.batch}; allowed: 1 or more")
        if self.rule not in RULES:
            raise UserError(f"lr_scaling: rule is {self.rule}{hint(str(self.rule), RULES)}")

    def factor(self, num_samples: int) -> float:
        """What every rate is multiplied by for steps of `num_samples`."""
        k = num_samples / self.batch
        return k if self.rule == "linear" else math.sqrt(k)


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Multiply the rate of each parameter group, before a schedule takes them for its base rates."""
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
