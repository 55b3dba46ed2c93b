"""Dropout and stochastic depth change training alone, and keep its mean."""

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torchvision.ops import StochasticDepth


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    """row 34: at 0.5 each of 1e5 ones becomes 0 or 2, with mean 1 within 1%; in evaluation nothing changes."""
    ones = torch.ones(100_000)
    dropout = nn.Dropout(0.5)
    dropped = dropout(ones)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


@pytest.mark.parametrize("make", [lambda p: StochasticDepth(p, "row"), DropPath], ids=["torchvision", "timm"])
def test_stochastic_depth_drops_whole_branches(make):
    """row 40: a branch is there or not, for each image; the mean stays; at p = 1 a residual block is the identity."""
    branch = torch.ones(20_000, 3, 2, 2)
    dropped = make(0.2)(branch)
    kept = dropped.flatten(1)
    assert ((kept == 0).all(1) | (kept == kept[kept > 0][0]).all(1)).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(make(0.2).eval()(branch), branch)
    images = torch.randn(4, 3, 2, 2)
    assert torch.equal(images + make(1.0)(torch.ones_like(images)), images)
