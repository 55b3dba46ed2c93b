"""How do real pixel values become one of a few levels, and how is one of these drawn?"""

import torch
from torch import Tensor


def to_levels(images: Tensor, levels: int) -> Tensor:
    """The nearest level of each value: int64 in [0, levels), halves up.

    Args:
        images: float in [0, 1] of any shape.
        levels: 2 or more; level k is the value k / (levels - 1).
    """
    return (images.float() * (levels - 1) + 0.5).floor().long().clamp(0, levels - 1)


def from_levels(values: Tensor, levels: int) -> Tensor:
    """The value float32 in [0, 1] of each level."""
    return values.float() / (levels - 1)


def pick(scores: Tensor, uniform: Tensor) -> Tensor:
    """Draw one of L for each row, by the inverse of the distribution function.

    Args:
        scores: (..., L) log probabilities up to a constant of the row.
        uniform: (...) in (0, 1).

    Returns:
        (...) int64 in [0, L).
    """
    cumulated = scores.double().softmax(-1).cumsum(-1)
    # The last sum may be a little under 1.
    return (cumulated <= uniform[..., None]).sum(-1).clamp(max=scores.shape[-1] - 1)


def log_prob_of(scores: Tensor, values: Tensor) -> Tensor:
    """Log probabilities of the levels that are there, summed over all but the batch: (B,) float32.

    Args:
        scores: (B, L, ...) log probabilities up to a constant.
        values: (B, ...) int64 in [0, L).
    """
    return -torch.nn.functional.cross_entropy(scores.float(), values, reduction="none").flatten(1).sum(1)
