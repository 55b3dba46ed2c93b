"""Which images of a batch may be taken together without one changing what is said of another?"""

from __future__ import annotations

from collections.abc import Sequence

Size = tuple[int, int]


def padded_size(sizes: Sequence[Size], divisor: int) -> Size:
    """The smallest height and width that hold all images and can be divided."""
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor


def by_padded_size(sizes: Sequence[Size], divisor: int) -> list[list[int]]:
    """The rows of images that have one size once each is padded by itself."""
    groups: dict[Size, list[int]] = {}
    for row, size in enumerate(sizes):
        groups.setdefault(padded_size([size], divisor), []).append(row)
    return list(groups.values())
