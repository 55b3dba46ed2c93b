"""Local attention sees its window, all of it and nothing else."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.local_attention import LocalAttention
from tests.tolerances import assert_close


@pytest.mark.parametrize(("place", "rows", "columns"), [((3, 4), (2, 4), (3, 5)), ((0, 0), (0, 1), (0, 1))])
def test_a_place_depends_on_its_window_exactly(place, rows, columns):
    """row 103: the support of the gradient is K x K places around it, fewer at the border."""
    features = torch.randn(1, 4, 7, 8, requires_grad=True)
    LocalAttention(4)(features)[0, :, *place].sum().backward()
    touched = features.grad[0].ne(0).any(0)
    wanted = torch.zeros(7, 8, dtype=torch.bool)
    wanted[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    assert torch.equal(touched, wanted)


def test_a_window_of_one_place_is_a_pointwise_convolution():
    """row 103: with K = 1 there is nothing to choose: values, then the output layer."""
    attention, features = LocalAttention(6, window=1, num_heads=2), torch.randn(2, 6, 5, 5)
    values = attention.key_value(features)[:, 6:]
    assert (attention(features) - attention.output(values)).abs().max() < 1e-5


@pytest.mark.parametrize(("window", "num_heads"), [(3, 1), (5, 2), (3, 3)])
def test_it_equals_attention_over_all_places_with_a_mask(window, num_heads):
    """row 103: torch's attention over all places, with those beyond the window masked, on the same projections."""
    attention, features = LocalAttention(6, window=window, num_heads=num_heads), torch.randn(2, 6, 5, 7)
    query, key_value = attention.query(features), attention.key_value(features)

    def split(maps: torch.Tensor) -> torch.Tensor:
        return maps.reshape(2, num_heads, 6 // num_heads, 35).transpose(2, 3)

    y, x = torch.arange(35) // 7, torch.arange(35) % 7
    far = torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs())
    mixed = F.scaled_dot_product_attention(
        split(query), split(key_value[:, :6]), split(key_value[:, 6:]), attn_mask=far <= window // 2
    )
    assert_close(attention(features), attention.output(mixed.transpose(2, 3).reshape(2, 6, 5, 7)))


def test_it_trains_between_convolutions():
    """Every parameter gets a gradient."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), LocalAttention(4, num_heads=2), nn.AdaptiveAvgPool2d(1))
    network(torch.randn(3, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_wrong_settings_are_told():
    """They name the option and what is allowed."""
    with pytest.raises(UserError, match="window is 4; allowed: odd, 1 or more"):
        LocalAttention(4, window=4)
    with pytest.raises(UserError, match="num_heads is 3; allowed: divisors of 4"):
        LocalAttention(4, num_heads=3)
