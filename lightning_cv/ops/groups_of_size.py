"""Which images of a batch have one size, so that they may be taken together without their padding?"""

from torch import Tensor

Size = tuple[int, int]


def rows_by_size(sizes: Tensor) -> list[tuple[list[int], Size]]:
    """The rows of images of each size, in the order in which the sizes come.

    Args:
        sizes: (B, 2) int64 (height, width).
    """
    groups: dict[Size, list[int]] = {}
    for row, (height, width) in enumerate(sizes.tolist()):
        groups.setdefault((height, width), []).append(row)
    return [(rows, size) for size, rows in groups.items()]
