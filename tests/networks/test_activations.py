"""Activations are the course's formulas, and a recipe may name each with its options."""

import math

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from timm.layers import QuickGELU
from torch import nn

from tests.tolerances import assert_close

POINTS = torch.linspace(-12, 12, 4801, dtype=torch.float64)
LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


FORMULAS = {
    "ReLU": (nn.ReLU(), lambda x: np.maximum(0, x)),
    "LeakyReLU 0.2": (nn.LeakyReLU(0.2), lambda x: np.maximum(0.2 * x, x)),
    "Sigmoid": (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": (nn.Tanh(), lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    "Softplus": (nn.Softplus(), lambda x: np.log1p(np.exp(x))),
    "ELU": (nn.ELU(), lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    "SELU": (nn.SELU(), lambda x: LAMBDA * np.where(x > 0, x, ALPHA * (np.exp(x) - 1))),
    "GELU": (nn.GELU(), lambda x: x * normal_cdf(x)),
    "QuickGELU": (QuickGELU(), lambda x: x / (1 + np.exp(-1.702 * x))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_value_is_that_of_the_formula(name):
    """rows 51, 52, 53, 54, 55, 56, 57, 58: from -12 to 12 in float64, written in NumPy."""
    activation, formula = FORMULAS[name]
    assert (activation(POINTS) - torch.from_numpy(formula(POINTS.numpy()))).abs().max() < 1e-12


def slope(activation: nn.Module, points: torch.Tensor) -> torch.Tensor:
    points = points.clone().requires_grad_(True)
    return torch.autograd.grad(activation(points).sum(), points)[0]


def test_slopes_are_those_that_the_course_warns_of():
    """rows 51, 52, 53, 55: ReLU is dead below 0, its leaky form never; sigmoid is 1/4 at most, and gone at 10."""
    away = POINTS[POINTS.abs() > 1e-9]
    assert torch.equal(slope(nn.ReLU(), away), (away > 0).double())
    assert slope(nn.LeakyReLU(0.1), away).min() == pytest.approx(0.1)
    assert slope(nn.Sigmoid(), POINTS).max() == 0.25
    assert slope(nn.Sigmoid(), torch.tensor([-10.0, 10.0])).max() < 1e-4
    assert_close(slope(nn.Softplus(), POINTS), POINTS.sigmoid())


def test_elu_is_smooth_and_gelu_has_two_forms():
    """rows 56, 58: ELU's slope is 1 from both sides; the exact GELU and its sigmoid form differ by 0.0203 at most."""
    assert_close(slope(nn.ELU(), torch.tensor([-1e-9, 1e-9], dtype=torch.float64)), torch.ones(2, dtype=torch.float64))
    gap = (nn.GELU()(POINTS) - QuickGELU()(POINTS)).abs().max().item()
    assert gap == pytest.approx(0.0203, abs=5e-5)
    assert nn.GELU()(torch.zeros(1)) == 0


def test_selu_normalizes_itself_over_50_layers():
    """row 57: with LeCun's start (deviation 1/sqrt(D_in)) the deviation stays near 1; with ReLU it vanishes."""
    found = {}
    for name, activation in (("selu", nn.SELU()), ("relu", nn.ReLU())):
        torch.manual_seed(0)
        features = torch.randn(64, 512)
        for _ in range(50):
            features = activation(features @ (torch.randn(512, 512) / math.sqrt(512)))
        found[name] = features.std().item()
    assert found["selu"] == pytest.approx(1.0, abs=0.1)
    assert found["relu"] < 1e-5


@pytest.mark.parametrize(
    ("class_path", "options"),
    [
        ("torch.nn.LeakyReLU", {"negative_slope": 0.2}),
        ("torch.nn.ELU", {"alpha": 0.5}),
        ("torch.nn.GELU", {"approximate": "tanh"}),
        ("lightning_cv.networks.blocks.maxout.Maxout", {"pieces": 3}),
    ],
)
def test_a_recipe_names_an_activation_with_its_options(class_path, options):
    """row 52: `activation` of `Mlp` takes any class with its options, such as the slope of Leaky ReLU."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    activation = {"class_path": class_path, "init_args": options}
    network = {"class_path": "lightning_cv.networks.classify.Mlp", "init_args": {"activation": activation}}
    built = parser.instantiate(parser.parse_object({"network": network})).network
    name = class_path.rsplit(".", 1)[1]
    found = [module for module in built.modules() if type(module).__name__ == name]
    assert len(found) == 2
    assert all(getattr(module, key) == value for module in found for key, value in options.items())
