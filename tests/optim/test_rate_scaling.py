"""Does the rate follow from the batch as the papers say?"""

import math

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.optim import RateScaling, scale_rates


def test_the_linear_rule_gives_the_published_rates():
    """Goyal et al. 2017, section 5.1: 0.1 for 256 images; 3.2 for 8,192 (table 1), and 0.05 for 128."""
    rule = RateScaling(batch=256)
    for num_samples, rate in {256: 0.1, 8192: 3.2, 128: 0.05}.items():
        assert 0.1 * rule.factor(num_samples) == pytest.approx(rate, rel=1e-12)


def test_the_root_rule_keeps_the_variance_of_a_step():
    """Krizhevsky 2014, section 5: k times the batch, root of k times the rate; so that rate squared over batch, to
    which the variance of a step is proportional, stays the same."""
    rule = RateScaling(batch=128, rule="sqrt")
    assert rule.factor(512) == 2.0
    for num_samples in (1, 100, 128, 1000):
        assert rule.factor(num_samples) ** 2 / num_samples == pytest.approx(1 / 128, rel=1e-12)


def test_every_group_is_scaled():
    """The ratio of two groups' rates stays what it was."""
    layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
    groups = [{"params": layer.parameters(), "lr": lr} for layer, lr in zip(layers, (0.3, 0.0003), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scale_rates(optimizer, math.sqrt(2))
    assert [group["lr"] for group in optimizer.param_groups] == [0.3 * math.sqrt(2), 0.0003 * math.sqrt(2)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch": 0}, "lr_scaling: batch is 0; allowed: 1 or more"),
        ({"batch": 256, "rule": "liner"}, "lr_scaling: rule is liner; did you mean linear?"),
    ],
)
def test_what_is_not_allowed_is_one_line(arguments, said):
    with pytest.raises(UserError, match=f"^{said[:-1]}"):
        RateScaling(**arguments)
