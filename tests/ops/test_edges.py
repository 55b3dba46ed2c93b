"""Edges against SciPy's filter, and against every patch of black and white."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from lightning_cv.ops.edges import edges


def test_edges_are_those_of_scipy():
    """row 265: oracle, scipy.ndimage.sobel along both axes of the mean of the channels, borders repeated."""
    images = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    gray = images.mean(1).double().numpy()
    expected = [np.hypot(ndimage.sobel(g, 0, mode="nearest"), ndimage.sobel(g, 1, mode="nearest")) for g in gray]
    found = edges(images)
    assert found.shape == (2, 1, 7, 9)
    np.testing.assert_allclose(found[:, 0].numpy() * 20**0.5, expected, rtol=1e-5, atol=1e-6)


def test_the_steepest_patch_is_one_and_a_flat_one_nothing():
    """row 265: of all 512 patches of black and white, where a convex function is largest, none is above 1."""
    patches = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9))).view(-1, 1, 3, 3)
    assert edges(patches)[:, :, 1, 1].max().item() == pytest.approx(1)
    assert not edges(torch.full((1, 1, 5, 5), 0.5)).any()
    assert edges(torch.rand(1, 1, 5, 5).round()).max() <= 1
