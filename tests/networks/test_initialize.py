"""`init` draws what it says, reports what it touched, and zeroed branches make blocks the identity."""

import math

import pytest
import timm
import torch
import torchvision
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks import Initialize
from lightning_cv.networks.classify import Mlp, SmallResNet
from lightning_cv.tasks import Classify
from tests.tolerances import assert_close

LINEAR = ("linear", lambda: nn.Linear(4096, 256), 4096, 256)
CONVOLUTION = ("convolution", lambda: nn.Conv2d(64, 256, 3), 9 * 64, 9 * 256)
GROUPED = ("grouped", lambda: nn.Conv2d(256, 256, 3, groups=4), 9 * 64, 9 * 256)


@pytest.mark.parametrize(("name", "make", "inputs", "outputs"), [LINEAR, CONVOLUTION, GROUPED])
def test_the_deviation_is_that_of_the_scheme(name, make, inputs, outputs):
    """rows 48, 49: within 2% of 1/sqrt(D_in) for the course's Xavier, also for convolutions; torch's own for Glorot."""
    layer = make()
    wanted = {"xavier": math.sqrt(1 / inputs), "kaiming": math.sqrt(2 / inputs), "normal": 0.05}
    for scheme, deviation in wanted.items():
        Initialize(scheme, std=0.05)(layer)
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02), scheme
        assert abs(layer.weight.mean().item()) < 0.02 * deviation
        assert not layer.bias.any()
    oracle = make()
    nn.init.xavier_normal_(oracle.weight)
    Initialize("glorot")(layer)
    assert layer.weight.std().item() == pytest.approx(oracle.weight.std().item(), rel=0.02)
    if name == "linear":
        assert oracle.weight.std().item() == pytest.approx(0.0214, rel=0.02), "row 48: torch's is not the course's"


def test_zeros_break_no_symmetry():
    """row 45: with all weights zero every hidden unit has the same gradient, and so they stay equal for ever."""
    network = Mlp(3, image=(1, 4, 4), hidden=[8])
    Initialize("zeros")(network)
    with torch.no_grad():
        network.head.weight.fill_(0.1)
    nn.functional.cross_entropy(network(torch.randn(5, 1, 4, 4)), torch.tensor([0, 1, 2, 0, 1])).backward()
    gradient = next(p.grad for n, p in network.named_parameters() if n.startswith("hidden") and p.ndim == 2)
    assert_close(gradient, gradient[:1].expand_as(gradient))


def test_it_says_what_it_touched_and_what_not():
    """Every module with parameters is counted once, as drawn or as left."""
    network = torchvision.models.resnet18(num_classes=10)
    touched = Initialize("kaiming", zero_residual=True)(network)
    assert touched.drawn == {"Conv2d": 20, "Linear": 1}
    assert touched.left == {"BatchNorm2d": 20}
    assert touched.zeroed == 8
    said = "20 Conv2d, 1 Linear; 8 residual branches start at zero; as they were: 20 BatchNorm2d"
    assert str(touched) == said


@pytest.mark.parametrize(
    ("make", "blocks"),
    [
        (lambda: SmallResNet(in_channels=3, widths=[8], blocks_per_stage=3), 3),
        (lambda: torchvision.models.resnet50(num_classes=10), 16),
        (lambda: timm.create_model("resnet10t", num_classes=10), 4),
    ],
    ids=["own", "torchvision", "timm"],
)
def test_a_zeroed_branch_makes_the_block_the_identity(make, blocks):
    """row 50: at the start a block with an identity shortcut gives back what it gets, if that is not negative."""
    network = make().eval()
    assert Initialize(None, zero_residual=True)(network).zeroed == blocks
    seen = []

    def same(module, inputs, output):
        if inputs[0].shape == output.shape:
            seen.append(torch.equal(inputs[0].relu(), output))

    for module in network.modules():
        if hasattr(module, "conv2"):
            module.register_forward_hook(same)
    network(torch.randn(1, 3, 32, 32))
    assert seen
    assert all(seen)


def test_the_variance_of_residual_stacks_grows_unless_their_branches_start_at_zero():
    """row 50: ten blocks of two Kaiming layers multiply it (measured 6.7e4), with the second at zero it stays 1."""

    def variance(second: float) -> float:
        features = torch.randn(64, 512)
        for _ in range(10):
            first, last = (nn.Linear(512, 512, bias=False) for _ in range(2))
            Initialize("kaiming")(first)
            Initialize("kaiming")(last)
            with torch.no_grad():
                features = features + last(first(features).relu()) * second
        return features.var().item()

    assert variance(1.0) > 1e4
    assert variance(0.0) == pytest.approx(1.0, rel=0.05)


def test_a_recipe_states_it_and_the_run_says_so(caplog):
    """The key `init` of a task changes the network before `head_std` does."""
    network = SmallResNet(in_channels=1, widths=[4], blocks_per_stage=1)
    with caplog.at_level("INFO"):
        Classify(network, torch.optim.SGD, init=Initialize("zeros"), head_std=0.5)
    assert not network.stem[0].weight.any()
    assert network.head.weight.std() > 0.3
    assert "init      zeros: 3 Conv2d, 1 Linear; as they were: 3 BatchNorm2d" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Initialize("he"), "init: scheme is he; allowed: zeros, normal, xavier"),
        (lambda: Initialize(std=0), "init: std is 0; allowed: above 0"),
        (lambda: Initialize(zero_residual=True)(Mlp()), "Mlp has no residual branch that is known"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(make, message):
    """It names the option, what was given and what is allowed."""
    with pytest.raises(UserError, match=message):
        make()
