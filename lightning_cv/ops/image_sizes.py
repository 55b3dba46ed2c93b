"""Which images of a batch may be taken together without one changing what is said of another?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # height and width in pixels


def padded_size(sizes: Sequence[Size], divisor: int) -> Size:
    """The smallest height and width that hold all images and can be divided."""
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def rows_by_size(sizes: Sequence[Size], divisor: int = 1) -> list[tuple[list[int], Size]]:
    """The rows of images that have one size once each is padded by itself, and this size, in order.

    Args:
        sizes: B of them.
        divisor: of the padded sizes; 1: images are not padded.
    """
    groups: dict[Size, list[int]] = {}
    for row, size in enumerate(sizes):
        groups.setdefault(padded_size([size], divisor), []).append(row)
    return [(rows, size) for size, rows in groups.items()]


def pad(images: Tensor, size: Size, value: float = 0) -> Tensor:
    """Images (..., h, w) with a value at the right and below, up to a size (H, W)."""
    return F.pad(images, (0, size[1] - images.shape[-1], 0, size[0] - images.shape[-2]), value=value)
