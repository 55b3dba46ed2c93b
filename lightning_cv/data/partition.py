"""How is a part held out so that it keeps the proportions of the classes?"""

from dataclasses import dataclass

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


def balanced(labels: Tensor, count: int, *, seed: int) -> Tensor:
    """Choose samples of which each class has as many as any other, or one more; which ones depends on `seed` alone.

    With fewer than asked for of a class, the others give more. A larger choice of one seed holds the smaller ones.

    Args:
        labels: (N,) int64 class indices.
        count: how many to choose, 1 to N.
        seed: decides which ones.

    Returns:
        (count,) int64 positions, ascending.

    Raises:
        UserError: there are not as many.
    """
    if count > len(labels):
        raise UserError(f"data.init_args.num_train: {count} given, allowed: up to {len(labels)}, which there are")
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    turn = torch.empty_like(labels)  # of each shuffled sample: the how many-th of its class it is
    for label in labels.unique():
        members = labels[shuffled] == label
        turn[members] = torch.arange(int(members.sum()))
    return shuffled[turn.argsort(stable=True)[:count]].sort().values


@dataclass(frozen=True)
class Fold:
    """One part of k for validation, the others for training (row 18).

    Args:
        number: which one, from 0.
        of: k, 2 or more.

    Raises:
        UserError: k below 2, or a number that is none of them.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if self.of < 2:
            raise UserError(f"data.init_args.fold.of: {self.of} given, allowed: 2 or more")
        if not 0 <= self.number < self.of:
            raise UserError(f"data.init_args.fold.number: {self.number} given, allowed: 0 to {self.of - 1}")


def hold_out_fold(labels: Tensor, fold: Fold, *, seed: int) -> tuple[Tensor, Tensor]:
    """Divide samples into those that train and those of one fold, stratified by class.

    Over all folds each sample is held out exactly once; the sizes of folds, and the counts of a class in them, differ
    by at most one.

    Args:
        labels: (N,) int64 class indices, or (N, classes) float for multilabel targets.
        fold: which part is held out.
        seed: decides which samples share a fold.

    Returns:
        Positions of the kept and of the held-out samples, int64, each ascending.
    """
    if len(labels) < fold.of:
        raise UserError(f"data.init_args.fold.of: {fold.of} given for {len(labels)} samples, allowed: up to as many")
    classes = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(classes), generator=generator)
    # Class after class, dealt out like cards: neighbours go to different folds.
    dealt = shuffled[classes[shuffled].argsort(stable=True)]
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    held_out[dealt[fold.number :: fold.of]] = True
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
