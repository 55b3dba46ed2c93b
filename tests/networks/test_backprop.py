"""What the course says of gradients, losses and starts holds for the layers that networks here are made of."""

import math

import pytest
import torch
from torch import nn
from torch.func import jacrev
from torch.nn import functional as F

from lightning_cv.networks import Initialize
from lightning_cv.networks.classify import Mlp
from tests.tolerances import assert_close


def gradients(function, *values: float) -> list[float]:
    inputs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    return [float(gradient) for gradient in torch.autograd.grad(function(*inputs), inputs)]


def test_gates_route_gradients():
    """row 10: add distributes, copy sums, multiply swaps, max routes; exactly."""
    assert gradients(lambda x, y: 7 * (x + y), 2.0, 3.0) == [7, 7]
    assert gradients(lambda x: 5 * x + 2 * x, 3.0) == [7]
    assert gradients(lambda x, y: 7 * x * y, 2.0, 3.0) == [21, 14]
    assert gradients(lambda x, y: 7 * torch.maximum(x, y), 2.0, 3.0) == [0, 7]


def test_only_the_jacobian_of_an_elementwise_operation_is_diagonal():
    """row 10: the course writes "all off-diagonal 0", which a linear layer contradicts."""
    inputs = torch.randn(6, dtype=torch.float64)
    jacobian = jacrev(F.gelu)(inputs)
    assert_close(jacobian, torch.diag(jacobian.diagonal()))
    layer = nn.Linear(6, 6, dtype=torch.float64)
    assert_close(jacrev(layer)(inputs), layer.weight.detach())


def loss_at(network: nn.Module, weights: torch.Tensor, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    nn.utils.vector_to_parameters(weights, network.parameters())
    return F.cross_entropy(network(images), labels)


def test_linear_losses_are_convex_and_those_of_networks_are_not():
    """row 11: midpoint inequality for 1,000 pairs of weights; a hidden layer violates it."""
    images, labels = torch.randn(20, 1, 2, 2, dtype=torch.float64), torch.randint(3, (20,))

    def violations(network: nn.Module, pairs: int) -> int:
        number = sum(p.numel() for p in network.parameters())
        count = 0
        with torch.no_grad():
            for _ in range(pairs):
                first, second = 0.5 * torch.randn(2, number, dtype=torch.float64)
                ends = [loss_at(network, weights, images, labels) for weights in (first, second)]
                count += bool(loss_at(network, (first + second) / 2, images, labels) > sum(ends) / 2 + 1e-12)
        return count

    assert violations(Mlp(3, image=(1, 2, 2), hidden=[]).double(), 1000) == 0
    assert violations(Mlp(3, image=(1, 2, 2), hidden=[8]).double(), 1000) > 0


def test_in_many_dimensions_all_points_are_equally_far():
    """row 20: k points an axis make k^d; of 200 random points the farthest is hardly farther than the nearest."""
    ratios = []
    for dimensions in (1, 2, 10, 100, 1000):
        points = torch.rand(200, dimensions, generator=torch.Generator().manual_seed(0))
        distances = (points[1:] - points[0]).norm(dim=1)
        ratios.append(float(distances.min() / distances.max()))
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.05
    assert ratios[-1] > 0.85
    assert len(torch.cartesian_prod(*[torch.arange(3)] * 4)) == 3**4


def deviations(init: Initialize, activation: nn.Module, width: int, depth: int = 10) -> list[float]:
    """Standard deviation behind each of `depth` layers, of inputs from N(0, 1)."""
    features, found = torch.randn(16, width), []
    with torch.no_grad():
        for _ in range(depth):
            layer = nn.Linear(width, width)
            init(layer)
            features = activation(layer(features))
            found.append(features.std().item())
    return found


def test_small_weights_let_activations_vanish():
    """row 46: N(0, 0.01), ten tanh layers of 1,024: 0.29 behind the first, 0.003 behind the fifth, then nothing."""
    found = deviations(Initialize("normal", std=0.01), nn.Tanh(), 1024)
    assert found[0] == pytest.approx(0.29, abs=0.02)
    assert found[4] == pytest.approx(0.003, abs=0.001)
    assert found[9] < 1e-4


@pytest.mark.parametrize(("width", "saturated"), [(1024, 0.069), (4096, 0.5)])
def test_large_weights_saturate_where_layers_are_wide(width, saturated):
    """row 47: N(0, 0.05): half of |tanh| above 0.95 at width 4,096, but 7% at 1,024, against the notes."""
    features = torch.randn(16, width)
    with torch.no_grad():
        for _ in range(3):
            layer = nn.Linear(width, width)
            Initialize("normal", std=0.05)(layer)
            features = layer(features).tanh()
    assert (features.abs() > 0.95).float().mean().item() == pytest.approx(saturated, abs=0.05)


def test_kaiming_keeps_the_deviation_of_relu_layers():
    """row 49: ten layers of 1,024: 0.83 stays 0.83 within 15%; with the course's Xavier it falls to 0.026."""
    kept = deviations(Initialize("kaiming"), nn.ReLU(), 1024)
    assert kept[0] == pytest.approx(0.825, rel=0.05)
    assert kept[9] == pytest.approx(kept[0], rel=0.15)
    lost = deviations(Initialize("xavier"), nn.ReLU(), 1024)
    assert lost[0] == pytest.approx(0.58, rel=0.05)
    assert lost[9] == pytest.approx(0.026, rel=0.2)
    assert lost[9] / kept[9] == pytest.approx(math.sqrt(0.5) ** 10, rel=0.2)
