"""Scores of samples by their features are those of other libraries, of closed forms and of brute force."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from lightning_cv.metrics import sample_quality
from lightning_cv.metrics.sample_quality import frechet_distance, kernel_distance, precision_and_recall


class Vectors(nn.Module):
    """Passes what torchmetrics takes for images through as features."""

    num_features = 6

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def drawn(count: int, *, seed: int = 0, size: int = 6, shift: float = 0.0) -> torch.Tensor:
    """Correlated features: half of them follow the others."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return torch.randn(count, size, generator=generator, dtype=torch.float64) @ mix + shift


def test_the_frechet_distance_is_that_of_two_normal_distributions():
    """Diagonal covariances: sum of (m - n)^2 + (s - t)^2; features whose moments are exactly these."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).double() * math.sqrt(
        7 / 8
    )  # variance 1, divided by 7
    mean, std = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 2.0, 3.0])
    other_mean, other_std = torch.tensor([0.0, 1.0, 3.5]), torch.tensor([1.0, 0.1, 4.0])
    expected = (mean - other_mean).square().sum() + (std - other_std).square().sum()
    distance = frechet_distance(signs * std + mean, signs * other_std + other_mean)
    assert distance == pytest.approx(expected.item(), rel=1e-6)


def test_the_frechet_distance_is_that_of_scipys_matrix_root_and_of_torchmetrics():
    real, samples = drawn(60), drawn(90, seed=1, shift=0.3)
    one, two = np.cov(real.numpy(), rowvar=False), np.cov(samples.numpy(), rowvar=False)
    mean = real.mean(0) - samples.mean(0)
    root = np.trace(linalg.sqrtm(one @ two).real)
    expected = mean.square().sum().item() + np.trace(one) + np.trace(two) - 2 * root
    assert frechet_distance(real, samples) == pytest.approx(expected, rel=1e-9)
    theirs = FrechetInceptionDistance(Vectors(), input_img_size=(1, 2, 3)).set_dtype(torch.float64)
    theirs.update(real.view(-1, 1, 2, 3), real=True)
    theirs.update(samples.view(-1, 1, 2, 3), real=False)
    assert frechet_distance(real, samples) == pytest.approx(theirs.compute().item(), rel=1e-6)


@pytest.mark.parametrize(("count", "size"), [(200, 6), (30, 64), (4, 64)])
def test_a_set_is_at_no_distance_from_itself(count, size):
    """FID(x, x) = 0 within rounding, also of fewer images than features, whose covariance has no inverse."""
    features = drawn(count, size=size, shift=100.0)
    again = features[torch.randperm(count)]
    assert frechet_distance(features, features) < 1e-9 * features.var(0).sum().item()
    assert frechet_distance(features, again) < 1e-9 * features.var(0).sum().item()
    assert frechet_distance(features, features + 1) == pytest.approx(size, rel=1e-9)
    assert precision_and_recall(features, again, neighbors=2) == (1.0, 1.0)


def test_the_kernel_distance_is_that_of_torchmetrics():
    """One subset with all of them."""
    real, samples = drawn(50), drawn(50, seed=1, shift=0.3)
    theirs = KernelInceptionDistance(Vectors(), subsets=1, subset_size=50)
    theirs.update(real.view(-1, 1, 2, 3), real=True)
    theirs.update(samples.view(-1, 1, 2, 3), real=False)
    mean, _ = theirs.set_dtype(torch.float64).compute()
    assert kernel_distance(real, samples) == pytest.approx(mean.item(), rel=1e-6)


def test_the_kernel_distance_has_no_bias():
    """Its mean over sets of one distribution is 0 within four standard errors; by brute force over unequal sets."""
    each = torch.tensor([kernel_distance(drawn(8, seed=2 * s), drawn(12, seed=2 * s + 1)) for s in range(300)])
    assert abs(each.mean()) < 4 * each.std() / math.sqrt(300)
    real, samples = drawn(5), drawn(7, seed=1)

    def kernel(one, other):
        return (float(one @ other) / 6 + 1) ** 3

    within = [
        sum(kernel(a, b) for i, a in enumerate(part) for j, b in enumerate(part) if i != j)
        / (len(part) ** 2 - len(part))
        for part in (real, samples)
    ]
    between = sum(kernel(a, b) for a in real for b in samples) / 35
    assert kernel_distance(real, samples) == pytest.approx(sum(within) - 2 * between, rel=1e-9)


@pytest.mark.parametrize("neighbors", [1, 3, 5])
def test_precision_and_recall_are_those_of_brute_force(neighbors):
    """Balls around each member, by loops (Kynkäänniemi et al. 2019, eq. 1 and 2)."""
    real, samples = drawn(17).numpy(), drawn(23, seed=1, shift=0.5).numpy()

    def within(point, members):
        for member in members:
            reach = sorted(np.linalg.norm(member - other) for other in members)[neighbors]  # the first is itself
            if np.linalg.norm(point - member) <= reach:
                return True
        return False

    expected = np.mean([within(s, real) for s in samples]), np.mean([within(r, samples) for r in real])
    found = precision_and_recall(torch.from_numpy(real), torch.from_numpy(samples), neighbors=neighbors)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < found[0] < 1 or neighbors == 5


def test_few_kinds_of_samples_have_a_low_recall_and_bad_ones_a_low_precision():
    """One of ten kinds: what there is looks real. All kinds, and as much noise: what is real is there."""
    kinds = torch.arange(10.0).repeat_interleave(30)[:, None] * 100
    real = drawn(300) + kinds
    collapsed = drawn(300, seed=1)
    precision, recall = precision_and_recall(real, collapsed)
    assert precision > 0.8
    assert recall < 0.11
    noisy = torch.cat([drawn(300, seed=2) + kinds, drawn(300, seed=3) * 3 - 1000])
    precision, recall = precision_and_recall(real, noisy)
    assert precision == pytest.approx(0.5, abs=0.1)
    assert recall > 0.8


def test_memory_is_bounded_and_changes_nothing(monkeypatch):
    """Rows of pairs are looked at some at a time."""
    real, samples = drawn(50), drawn(70, seed=1, shift=0.3)
    whole = kernel_distance(real, samples), *precision_and_recall(real, samples)
    monkeypatch.setattr(sample_quality, "_CHUNK", 16)
    assert (kernel_distance(real, samples), *precision_and_recall(real, samples)) == pytest.approx(whole, rel=1e-9)


def test_what_is_not_finite_has_no_score():
    bad = drawn(20)
    bad[3, 2] = math.inf
    for scores in (
        frechet_distance(drawn(9), bad),
        kernel_distance(bad, drawn(9)),
        *precision_and_recall(bad, drawn(9)),
    ):
        assert math.isnan(scores)
