"""How is a part held out so that it keeps the proportions of the classes?"""

import torch
from torch import Tensor

from lightning_cv.errors import UserError


def hold_out(labels: Tensor, fraction: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Divide samples into a kept and a held-out part, stratified by class.

    Each class gives its share of round(fraction x N) samples, rounded down; the classes with the largest
    remainders give one more until the number is reached. Which samples of a class are taken depends on `seed`
    alone. Multilabel targets, which have no single class, are divided at random.

    Args:
        labels: (N,) int64 class indices, or (N, classes) float for multilabel targets.
        fraction: share of the samples that is held out, in [0, 1).
        seed: decides which ones.

    Returns:
        Positions of the kept and of the held-out samples, int64, each ascending; disjoint, covering all.
    """
    classes = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(classes), generator=generator)
    members = [shuffled[classes[shuffled] == label] for label in classes.unique()]
    counts = _shares([len(m) for m in members], round(fraction * len(classes)))
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    for positions, count in zip(members, counts, strict=True):
        held_out[positions[:count]] = True
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def check_fraction(key: str, fraction: float) -> None:
    """Refuse a fraction that would leave a part empty or is none.

    Raises:
        UserError: `fraction` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise UserError(f"data.init_args.{key}: {fraction} given, allowed: 0 up to, not including, 1")


def _shares(sizes: list[int], total: int) -> list[int]:
    """`total` divided in proportion to `sizes` by the largest-remainder (Hamilton) method."""
    whole = max(sum(sizes), 1)
    counts = [size * total // whole for size in sizes]
    remainders = [size * total % whole for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda c: (-remainders[c], c))
    for c in by_remainder[: total - sum(counts)]:
        counts[c] += 1
    return counts
