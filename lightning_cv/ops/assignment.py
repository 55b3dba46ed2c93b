"""Which prediction answers for which object, one for one?"""

from __future__ import annotations

from scipy.optimize import linear_sum_assignment
from torch import Tensor


def cheapest_pairs(cost: Tensor) -> tuple[Tensor, Tensor]:
    """The pairing of rows with columns whose costs have the smallest sum (row 197; the Hungarian method).

    Args:
        cost: (n, g), finite.

    Returns:
        Rows and columns of min(n, g) pairs, int64, rows ascending.
    """
    rows, columns = linear_sum_assignment(cost.detach().double().cpu().numpy())
    make = cost.new_tensor
    return make(rows).long(), make(columns).long()
