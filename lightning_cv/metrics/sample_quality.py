"""How near is a set of samples to a set of real images, both given as vectors of features?

Every function takes the features of two sets, (N, D) and (M, D), and computes in float64, over all of them in the order
in which they are given. Scores of different feature networks, or of other numbers of images, cannot be compared: each
is biased by the numbers, but for `kernel_distance`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK = 1024  # rows of a matrix of pairs that are in memory at once


def frechet_distance(real: Tensor, samples: Tensor) -> float:
    """FID: the Fréchet distance of two normal distributions with the means and covariances of the sets.

    |m - n|^2 + tr S + tr T - 2 tr (S T)^(1/2) (Heusel et al. 2017, two time-scale update rule, eq. 6).
    With S = A'A and T = B'B the last trace is the sum of the singular values of A B', which needs no root of a product
    that is singular within rounding: the distance of a set from itself is 0 to the last digits.

    Args:
        real: (N, D), N of 2 or more.
        samples: (M, D), M of 2 or more.

    Returns:
        0 or more, the smaller the better; NaN where a feature is not finite.
    """
    if not _finite(real, samples):
        return float("nan")
    real, samples = real.double(), samples.double()
    shift = (real.mean(0) - samples.mean(0)).square().sum()
    first, second = _factor(real), _factor(samples)
    common = torch.linalg.svdvals(first @ second.T).sum()
    return max(0.0, float(shift + first.square().sum() + second.square().sum() - 2 * common))


def kernel_distance(real: Tensor, samples: Tensor) -> float:
    """KID: the squared maximum mean discrepancy with the kernel (x'y / D + 1)^3, without bias.

    Bińkowski et al. 2018, Demystifying MMD GANs, section 4; over all pairs instead of random subsets, so that it is the
    same whenever it is asked for.

    Args:
        real: (N, D), N of 2 or more.
        samples: (M, D), M of 2 or more.

    Returns:
        The smaller the better; about 0, and below it too, for sets of one distribution; NaN as above.
    """
    if not _finite(real, samples):
        return float("nan")
    real, samples = real.double(), samples.double()
    between = _kernel_sum(real, samples) / (len(real) * len(samples))
    return float(_kernel_within(real) + _kernel_within(samples) - 2 * between)


def precision_and_recall(real: Tensor, samples: Tensor, *, neighbors: int = 3) -> tuple[float, float]:
    """The share of samples within the real images, and of real images within the samples.

    A set reaches as far from each of its members as that one's k-th nearest neighbour in it (Kynkäänniemi et al. 2019,
    Improved precision and recall metric for assessing generative models, eq. 1 and 2). Samples of few kinds have a
    low recall, bad ones a low precision.

    Args:
        real: (N, D), N above k.
        samples: (M, D), M above k.
        neighbors: k, 1 or more.

    Returns:
        Both in [0, 1]; NaN where a feature is not finite.
    """
    if not _finite(real, samples):
        return float("nan"), float("nan")
    real, samples = real.double(), samples.double()
    precision = _share_within(samples, real, _reach(real, neighbors))
    return precision, _share_within(real, samples, _reach(samples, neighbors))


def _finite(*sets: Tensor) -> bool:
    return all(bool(features.isfinite().all()) for features in sets)


def _factor(features: Tensor) -> Tensor:
    """A (K, D) with A'A the covariance of the rows, K the smaller of N and D."""
    centered = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centered, mode="r").R


def _kernel_sum(first: Tensor, second: Tensor) -> Tensor:
    rows = [(part @ second.T / first.shape[1] + 1).pow(3).sum() for part in first.split(_CHUNK)]
    return torch.stack(rows).sum()


def _kernel_within(features: Tensor) -> Tensor:
    """The mean over pairs of different rows."""
    itself = (features.square().sum(1) / features.shape[1] + 1).pow(3).sum()
    return (_kernel_sum(features, features) - itself) / (len(features) * (len(features) - 1))


def _reach(features: Tensor, neighbors: int) -> Tensor:
    """(N,) distance of each row from its k-th nearest other one."""
    nearest = [rows.kthvalue(neighbors + 1, dim=1).values for rows in _distances(features, features)]
    return torch.cat(nearest)  # each row is its own nearest, at 0


def _share_within(features: Tensor, others: Tensor, reach: Tensor) -> float:
    """The share of rows that lie in the reach of one of the others."""
    inside = [(rows <= reach).any(dim=1) for rows in _distances(features, others)]
    return float(torch.cat(inside).double().mean())


def _distances(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    """Euclidean distances of all pairs, some rows at a time; by differences, so that equal rows are at exactly 0."""
    for part in first.split(_CHUNK):
        yield torch.cdist(part, second, compute_mode="donot_use_mm_for_euclid_dist")
