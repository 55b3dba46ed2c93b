"""Levels of pixel values, and draws among them."""

import numpy as np
import pytest
import torch

from lightning_cv.ops.levels import from_levels, log_prob_of, pick, to_levels


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_level_comes_back_from_its_value(levels):
    every = torch.arange(levels)
    assert torch.equal(to_levels(from_levels(every, levels), levels), every)
    nearest = np.abs(np.linspace(0, 1, 1001)[:, None] - np.linspace(0, 1, levels)).argmin(1)
    found = to_levels(torch.linspace(0, 1, 1001), levels).numpy()
    assert (np.abs(found - nearest) <= (np.abs(np.linspace(0, 1, 1001) * (levels - 1) % 1 - 0.5) < 1e-4)).all()
    assert to_levels(torch.tensor([-0.1, 1.1]), levels).tolist() == [0, levels - 1]


def test_bytes_of_sixteenths_are_sixteenths():
    """scikit-learn's digits have 17 grey values, which the data set stores as bytes."""
    values = torch.arange(17)
    stored = (values * 255 + 8) // 16
    assert torch.equal(to_levels(stored / 255, 17), values)


def test_one_is_drawn_as_often_as_its_probability_says():
    """Equally spaced numbers in (0, 1) fall into each level's part of the line."""
    scores = torch.tensor([0.1, 0.4, 0.2, 0.3]).log() + 5
    drawn = pick(scores.expand(1000, 4), (torch.arange(1000) + 0.5) / 1000)
    assert torch.bincount(drawn, minlength=4).tolist() == [100, 400, 200, 300]
    assert drawn.sort().values.equal(drawn)
    assert pick(torch.tensor([[0.0, -torch.inf]]), torch.tensor([1 - 2.0**-24])).item() == 0


def test_log_probabilities_are_summed_over_an_image():
    scores = torch.randn(2, 5, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    values = torch.randint(5, (2, 1, 2, 3), generator=torch.Generator().manual_seed(1))
    p = scores.double().exp() / scores.double().exp().sum(1, keepdim=True)
    expected = [
        sum(p[(b, values[b, 0, r, c], 0, r, c)].log().item() for r in range(2) for c in range(3)) for b in (0, 1)
    ]
    assert log_prob_of(scores, values).tolist() == pytest.approx(expected, rel=1e-5)
