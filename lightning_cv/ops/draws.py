"""Where do the random numbers of a network come from: one stream for all, or one for each image?"""

import math

import torch
from torch import Tensor

from lightning_cv.ops.counter_random import sample_keys, uniform

_HALF_STEP = 2.0**-25  # draws are multiples of 2^-24: from the middle of a step none is 0
_LARGEST = 1 - 2.0**-24  # of the numbers below 1


class StreamDraws:
    """Draws from torch's generator of the device, which a snapshot holds: for training.

    Args:
        count: B.
        device: of the draws.
    """

    def __init__(self, count: int, device: torch.device | str = "cpu") -> None:
        self._count = count
        self._device = torch.device(device)

    def __len__(self) -> int:
        """B."""
        return self._count

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32 in (0, 1)."""
        return _open(torch.rand(self._count, *shape, device=self._device))

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32 from N(0, 1)."""
        return torch.randn(self._count, *shape, device=self._device)


class OwnDraws:
    """Draws of which every image has its own, whatever the batch and the device: for scores and samples.

    Args:
        keys: (B,) int64, see `sample_keys`.
    """

    def __init__(self, keys: Tensor) -> None:
        self._keys = keys
        self._made = 0

    @classmethod
    def of_indices(cls, index: Tensor, *, seed: int = 0) -> "OwnDraws":
        """Draws of the images with these indices (B,) int64."""
        return cls(sample_keys(seed, 0, index))

    def __len__(self) -> int:
        """B."""
        return len(self._keys)

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32 in (0, 1), in steps of 2^-24."""
        count = math.prod(shape)
        drawn = _open(uniform(self._keys, self._made, count))
        self._made += count
        return drawn.t().reshape(len(self._keys), *shape)

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32 from N(0, 1), by the inverse of its distribution; at most 5.4 from 0."""
        return torch.special.ndtri(self.uniform(*shape).double()).float()


def _open(drawn: Tensor) -> Tensor:
    """From [0, 1) to (0, 1)."""
    return (drawn + _HALF_STEP).clamp(max=_LARGEST)
