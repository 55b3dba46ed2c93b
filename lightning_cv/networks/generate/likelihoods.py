"""Which distribution of an image do the outputs of a decoder stand for?"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.ops.levels import from_levels, pick, to_levels

_LOG_STD = (-7.0, 4.0)  # beyond these neither values in [0, 1] nor their levels differ any more


class Likelihood(ABC):
    """p(x | outputs), of each value by itself.

    Attributes:
        levels: values that a pixel can take, over which p sums to 1; None: a density over real numbers.
        maps: P, how many outputs each value has.
    """

    levels: int | None
    maps: int

    @abstractmethod
    def log_prob(self, outputs: Tensor, images: Tensor) -> Tensor:
        """(B,) float32 in nats, summed over the image; of outputs (B, P, C, H, W) and images (B, C, H, W) in [0, 1]."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]."""

    @abstractmethod
    def draw(self, outputs: Tensor, uniform: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], from uniform numbers (B, C, H, W) in (0, 1)."""


class Bernoulli(Likelihood):
    """Black or white; values from 1/2 on are white. One output a value: the log odds of white."""

    levels: int | None = 2
    maps: int = 1

    def log_prob(self, outputs: Tensor, images: Tensor) -> Tensor:
        """See `Likelihood`."""
        white = to_levels(images, 2).float()
        return -F.binary_cross_entropy_with_logits(outputs[:, 0].float(), white, reduction="none").flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """See `Likelihood`."""
        return outputs[:, 0].float().sigmoid()

    def draw(self, outputs: Tensor, uniform: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (uniform < self.mean(outputs)).float()


class Categorical(Likelihood):
    """A softmax over the levels: as many outputs a value as there are levels.

    Args:
        levels: values that a pixel can take, 2 or more.
    """

    def __init__(self, levels: int = 256) -> None:
        self.levels: int = _checked_levels(levels)
        self.maps = levels

    def log_prob(self, outputs: Tensor, images: Tensor) -> Tensor:
        """See `Likelihood`."""
        values = to_levels(images, self.levels)
        return -F.cross_entropy(outputs.float(), values, reduction="none").flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """See `Likelihood`."""
        values = from_levels(torch.arange(self.levels, device=outputs.device), self.levels)
        return torch.einsum("bl...,l->b...", outputs.float().softmax(1), values)

    def draw(self, outputs: Tensor, uniform: Tensor) -> Tensor:
        """See `Likelihood`."""
        return from_levels(pick(outputs.movedim(1, -1), uniform), self.levels)


class DiscretizedNormal(Likelihood):
    """The mass of a normal distribution around each level; what lies beyond the ends belongs to the ends.

    As the decoder of a VAE is drawn, with a mean and a deviation of each value, but a distribution over what a pixel
    can be: its negative logarithm has a floor, and bits per dimension are true. Two outputs a value: the mean, where -1
    is black and 1 is white, and the logarithm of the deviation in that unit.

    Args:
        levels: values that a pixel can take, 2 or more.
    """

    maps: int = 2

    def __init__(self, levels: int = 256) -> None:
        self.levels: int = _checked_levels(levels)

    def log_prob(self, outputs: Tensor, images: Tensor) -> Tensor:
        """See `Likelihood`."""
        mean, log_std = _mean_and_log_std(outputs)
        values = to_levels(images, self.levels)
        center, half = 2 * from_levels(values, self.levels) - 1, 1 / (self.levels - 1)
        upper = self._log_below((center + half - mean) / log_std.exp())
        lower = self._log_below((center - half - mean) / log_std.exp())
        # Of the upper half of the distribution the complement is exact, of the lower the distribution function.
        flipped_upper = self._log_below(-(center - half - mean) / log_std.exp())
        flipped_lower = self._log_below(-(center + half - mean) / log_std.exp())
        right = center > mean
        inner = torch.where(right, _log_difference(flipped_upper, flipped_lower), _log_difference(upper, lower))
        log_p = torch.where(values == 0, upper, torch.where(values == self.levels - 1, flipped_upper, inner))
        return log_p.float().flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """Of the normal distribution, cut off at black and white."""
        return ((_mean_and_log_std(outputs)[0] + 1) / 2).clamp(0, 1).float()

    def draw(self, outputs: Tensor, uniform: Tensor) -> Tensor:
        """See `Likelihood`."""
        mean, log_std = _mean_and_log_std(outputs)
        drawn = mean + log_std.exp() * self._quantile(uniform.double())
        return from_levels(to_levels(((drawn + 1) / 2).clamp(0, 1), self.levels), self.levels)

    def _log_below(self, z: Tensor) -> Tensor:
        return torch.special.log_ndtr(z)

    def _quantile(self, uniform: Tensor) -> Tensor:
        return torch.special.ndtri(uniform)


class DiscretizedLogistic(DiscretizedNormal):
    """The same of a logistic distribution, whose tails are longer (Kingma et al. 2016, section 5.2).

    Args:
        levels: values that a pixel can take, 2 or more.
    """

    def _log_below(self, z: Tensor) -> Tensor:
        return F.logsigmoid(z)

    def _quantile(self, uniform: Tensor) -> Tensor:
        return torch.logit(uniform)


class Normal(Likelihood):
    """A normal density of each value around its mean; with `std` fixed its logarithm is the L2 loss.

    It is no distribution over levels, so that there are no bits per dimension, and no floor.

    Args:
        std: of every value, in units of the image, above 0; None: a second output, its logarithm.
    """

    levels: int | None = None

    def __init__(self, std: float | None = 0.1) -> None:
        if std is not None and not std > 0:
            raise UserError(f"likelihood: std is {std}; allowed: above 0, or null")
        self.std = std
        self.maps = 2 if std is None else 1

    def log_prob(self, outputs: Tensor, images: Tensor) -> Tensor:
        """See `Likelihood`."""
        mean, log_std = self._parts(outputs)
        z = (images.float() - mean) / log_std.exp()
        return -(z.square() / 2 + log_std + math.log(2 * math.pi) / 2).flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """See `Likelihood`."""
        return self._parts(outputs)[0].clamp(0, 1)

    def draw(self, outputs: Tensor, uniform: Tensor) -> Tensor:
        """See `Likelihood`; cut off at black and white."""
        mean, log_std = self._parts(outputs)
        return (mean + log_std.exp() * torch.special.ndtri(uniform.double()).float()).clamp(0, 1)

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean = outputs[:, 0].float()
        if self.std is not None:
            return mean, torch.full_like(mean, math.log(self.std))
        return mean, outputs[:, 1].float().clamp(*_LOG_STD)


def _mean_and_log_std(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """In float64: differences of distribution functions lose half of their digits."""
    return outputs[:, 0].double(), outputs[:, 1].double().clamp(*_LOG_STD)


def _log_difference(larger: Tensor, smaller: Tensor) -> Tensor:
    """log(exp(larger) - exp(smaller)), for larger > smaller."""
    gap = (larger - smaller).clamp(min=1e-12)
    return larger + torch.log(-torch.expm1(-gap))


def _checked_levels(levels: int) -> int:
    if levels < 2:
        raise UserError(f"likelihood: levels is {levels}; allowed: 2 or more")
    return levels
