"""Blocks that no library has do what their papers say."""

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.conditional_instance_norm import ConditionalInstanceNorm2d
from lightning_cv.networks.blocks.maxout import Maxout
from lightning_cv.networks.classify import Mlp
from tests.tolerances import assert_close


def test_maxout_of_a_function_and_zero_is_relu():
    """row 59: k = 2 with w2 = 0 equals ReLU(w1 x + b1) exactly; the layer has twice the parameters."""
    plain, wide = nn.Linear(6, 5), nn.Linear(6, 10)
    with torch.no_grad():
        for parameter in plain.parameters():  # whole numbers: their sums are the same in any order, on any processor
            parameter.copy_(torch.randint(-8, 9, parameter.shape))
        wide.weight.zero_()
        wide.bias.zero_()
        wide.weight[::2] = plain.weight
        wide.bias[::2] = plain.bias
        inputs = torch.randint(-8, 9, (7, 6)).float()
        assert torch.equal(Maxout(2)(wide(inputs)), plain(inputs).relu())
    count = [sum(p.numel() for p in layer.parameters()) for layer in (plain, wide)]
    assert count[1] == 2 * count[0]


def test_maxout_in_a_perceptron_widens_its_layers():
    """row 59: `Mlp` with Maxout maps as written out by hand, and has pieces times the hidden parameters."""
    network = Mlp(3, image=(1, 2, 2), hidden=[5, 4], activation=Maxout(3))
    images = torch.randn(6, 1, 2, 2)
    features = images.flatten(1)
    layers = [module for module in network.hidden.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(4, 15), (5, 12)]
    for layer in layers:
        features = layer(features).view(len(features), -1, 3).max(dim=2).values
    assert_close(network(images), network.head(features))


def test_an_activation_of_the_recipe_stands_behind_each_hidden_layer():
    """row 52: the slope of Leaky ReLU is an option; the course writes 0.2 and 0.1, torch's default is 0.01."""
    network = Mlp(3, image=(1, 2, 2), hidden=[5, 4], activation=nn.LeakyReLU(0.2))
    images = torch.randn(6, 1, 2, 2)
    features = images.flatten(1)
    for layer in (module for module in network.hidden.modules() if isinstance(module, nn.Linear)):
        scores = layer(features)
        features = torch.where(scores > 0, scores, 0.2 * scores)
    assert_close(network(images), network.head(features))


def test_one_norm_paints_in_several_styles():
    """row 74: 2 C parameters a style; each style is an affine instance norm; a mixture mixes scale and shift."""
    norm = ConditionalInstanceNorm2d(5, 3)
    assert sum(p.numel() for p in norm.parameters()) == 3 * 2 * 5
    nn.init.normal_(norm.scale)
    nn.init.normal_(norm.shift)
    features = torch.randn(4, 5, 6, 6)
    for style in range(3):
        oracle = nn.InstanceNorm2d(5, affine=True)
        oracle.weight.data, oracle.bias.data = norm.scale[style].data, norm.shift[style].data
        assert_close(norm(features, torch.full((4,), style)), oracle(features))
    half = torch.tensor([0.5, 0.5, 0.0]).expand(4, 3)
    ends = norm(features, torch.zeros(4, dtype=torch.int64)), norm(features, torch.ones(4, dtype=torch.int64))
    assert_close(norm(features, half), (ends[0] + ends[1]) / 2)


def test_wrong_settings_are_told():
    """They name the block, the option and what is allowed."""
    with pytest.raises(UserError, match="Maxout: pieces is 1; allowed: 2 or more"):
        Maxout(1)
    with pytest.raises(UserError, match="num_styles is 0; allowed: 1 or more"):
        ConditionalInstanceNorm2d(3, 0)
