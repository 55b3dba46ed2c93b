"""How do uint8 images become the standardized float images that a network takes?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_cv.errors import UserError

_LEVELS = 256  # values of a uint8 pixel


@dataclass(frozen=True)
class MeanStd:
    """Statistics of each channel, of images in [0, 1].

    Args:
        mean: one mean a channel.
        std: one standard deviation a channel, above 0.
    """

    mean: list[float]
    std: list[float]


def choose_statistics(normalize: bool | MeanStd, channels: int, *, measured: Callable[[], MeanStd]) -> MeanStd:
    """What `normalize` of a recipe asks for: given statistics, measured ones (true), or mean 0 and std 1 (false).

    Raises:
        UserError: given statistics do not fit images of `channels` channels.
    """
    if isinstance(normalize, MeanStd):
        return checked(normalize, channels)
    return measured() if normalize else MeanStd([0.0] * channels, [1.0] * channels)


def checked(given: MeanStd, channels: int) -> MeanStd:
    """Statistics from a recipe, for images of `channels` channels.

    Raises:
        UserError: not one number a channel, or a deviation that is not above 0.
    """
    if not len(given.mean) == len(given.std) == channels or min(given.std) <= 0:
        raise UserError(
            f"data.init_args.normalize: mean {given.mean} and std {given.std} given, "
            f"allowed: {channels} numbers each (one a channel), std above 0"
        )
    return given


class Normalizer:
    """(image / 255 - mean) / std, with the constants kept on the device of the images.

    Args:
        statistics: mean and standard deviation of each channel, of images in [0, 1].
    """

    def __init__(self, statistics: MeanStd) -> None:
        mean = torch.tensor(statistics.mean, dtype=torch.float64).view(1, -1, 1, 1)
        std = torch.tensor(statistics.std, dtype=torch.float64).view(1, -1, 1, 1)
        self._constants = ((1 / (255 * std)).float(), (-mean / std).float())

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 in, float32 out."""
        scale, shift = self._constants
        if scale.device != images.device:
            scale, shift = self._constants = (scale.to(images.device), shift.to(images.device))
        return images.to(torch.float32).mul_(scale).add_(shift)


def measure(batches: Iterable[Tensor]) -> MeanStd:
    """Mean and standard deviation of each channel over all pixels of all images, scaled to [0, 1].

    The pixels are counted by value, so that the result is exact to float64 in one pass and does not depend on
    the order. The deviation is that of the population (divided by the number of pixels); that of a constant
    channel is given as 1/255, one level, to divide by.

    Args:
        batches: (B, C, H, W) uint8 each; sizes may differ between batches.
    """
    counts: Tensor | None = None
    for images in batches:
        batch_counts = torch.stack(
            [torch.bincount(channel.flatten(), minlength=_LEVELS) for channel in images.unbind(1)]
        )
        counts = batch_counts if counts is None else counts + batch_counts
    assert counts is not None, "no images to measure"
    levels = torch.arange(_LEVELS, dtype=torch.float64) / (_LEVELS - 1)
    shares = counts / counts.sum(dim=1, keepdim=True, dtype=torch.float64)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]).square()).sum(dim=1)
    std = variance.sqrt()
    std = torch.where(std > 0, std, 1 / (_LEVELS - 1))
    return MeanStd(mean.tolist(), std.tolist())
