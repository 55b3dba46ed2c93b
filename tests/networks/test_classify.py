"""Our own classifiers have the sizes, the shapes and the abilities of their sources."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.residual import BasicBlock
from lightning_cv.networks.classify import AlexNet2012, LeNet5, Mlp, ShuffleNetV1, SmallResNet, ZFNet
from tests.tolerances import assert_close


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_lenet5_has_its_61706_parameters():
    """row 77: layer by layer 156 + 2,416 + 48,120 + 10,164 + 850, for 32x32 and, padded, for 28x28 images."""
    sizes = [count(layer) for layer in LeNet5().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sizes == [156, 2_416, 48_120, 10_164, 850]
    assert sum(sizes) == count(LeNet5(padding=2)) == 61_706


def test_lenet5_pads_small_images():
    """row 77: padding 2 on 28x28 is the same as zeros around the image on 32x32."""
    wide, small = LeNet5(), LeNet5(padding=2)
    small.load_state_dict(wide.state_dict())
    images = torch.randn(3, 1, 28, 28)
    assert_close(small(images), wide(F.pad(images, [2, 2, 2, 2])))


def test_resnet20_has_the_size_of_its_paper():
    """row 77: the default is the CIFAR ResNet-20: 269,722 parameters with zero-padded shortcuts (0.27M in the
    paper), and 2,752 more for 1x1 convolutions with batch norm: 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64.
    """
    assert count(SmallResNet()) == 269_722 + 2_752
    weighted = [m for m in SmallResNet().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = [m for m in weighted if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(weighted) - len(shortcuts) == 20


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize(("size_px", "last_px"), [(8, 2), (9, 3), (32, 8)])
def test_small_resnet_halves_between_stages(norm, size_px, last_px):
    """row 77: from 8x8 on, three stages leave a quarter of height and width, rounded up."""
    network = SmallResNet(7, in_channels=1, widths=[8, 12, 16], blocks_per_stage=1, norm=norm)
    images = torch.randn(2, 1, size_px, size_px)
    assert network.stages(network.stem(images)).shape == (2, 16, last_px, last_px)
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_zero_init_makes_blocks_the_identity(norm):
    """row 50: with zero-init residuals a block of unchanged shape passes what is positive as it is."""
    network = SmallResNet(widths=[8], blocks_per_stage=2, norm=norm, zero_init_residual=True)
    features = torch.rand(2, 8, 8, 8)
    assert torch.equal(network.stages(features), features)
    assert not torch.equal(SmallResNet(widths=[8], blocks_per_stage=2, norm=norm).stages(features), features)


def test_a_block_is_the_sum_of_its_branches():
    """row 50: relu(f(x) + s(x)), written out with the block's own layers."""
    block = BasicBlock(3, 5, stride=2).eval()
    x = torch.randn(2, 3, 8, 8)
    conv = F.conv2d(x, block.conv1.weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5
    residual = F.conv2d(conv.relu(), block.conv2.weight, padding=1) / (1 + 1e-5) ** 0.5
    carried = F.conv2d(x, block.shortcut[0].weight, stride=2) / (1 + 1e-5) ** 0.5
    assert_close(block(x), (residual + carried).relu())


def test_an_mlp_learns_xor_and_a_linear_classifier_cannot():
    """rows 1, 16: XOR is solved in 800 Adam steps; without hidden layers the best loss is ln 2."""
    points = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])[:, :, None, None]
    labels = torch.tensor([0, 1, 1, 0])
    losses = {}
    for hidden in ([16], []):
        network = Mlp(2, image=(2, 1, 1), hidden=hidden)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(800):
            optimizer.zero_grad()
            F.cross_entropy(network(points), labels).backward()
            optimizer.step()
        losses[len(hidden)] = F.cross_entropy(network(points), labels).item()
        if hidden:
            assert (network(points).argmax(1) == labels).all()
    assert losses[1] < 0.01
    assert losses[0] == pytest.approx(0.693147, abs=1e-5)


def test_dropout_never_drops_a_class_score():
    """rows 16, 34: hidden units are dropped, scores are not, as torchvision's MLP would."""
    network = Mlp(50, hidden=[64], dropout=0.5).train()
    scores = network(torch.randn(64, 1, 8, 8))
    assert (scores != 0).all()
    hidden = network.hidden(torch.ones(64, 1, 8, 8))
    kept = Mlp(50, hidden=[64]).train()
    kept.load_state_dict(network.state_dict())
    expected = kept.hidden(torch.ones(64, 1, 8, 8))
    assert_close(hidden[hidden != 0], 2 * expected[hidden != 0])
    positive = expected > 0
    assert (hidden[positive] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LeNet5()(torch.zeros(1, 1, 28, 28)), "LeNet5: images are 28x28; allowed: 32x32"),
        (lambda: Mlp()(torch.zeros(1, 3, 8, 8)), r"Mlp: images are \(3, 8, 8\); allowed: .*1, 8, 8"),
        (lambda: Mlp(dropout=1.0), "dropout is 1.0"),
        (lambda: Mlp(hidden=[0]), r"hidden is \[0\]"),
        (lambda: SmallResNet(widths=[]), r"widths is \[\]"),
        (lambda: SmallResNet(blocks_per_stage=0), "blocks_per_stage is 0"),
        (lambda: SmallResNet(norm="layer"), "norm is layer; allowed: batch, group"),
    ],
)
def test_what_does_not_fit_is_named(make, named):
    """row 77: a wrong size or argument is one line that says what is allowed."""
    with pytest.raises(UserError, match=named) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_depth_underfits_without_shortcuts():
    """row 84: a deep plain stack has the highest training loss by far, mean of 3 seeds.

    120 steps on the digits; 4 and 54 convolutions of 12 channels. Measured: shallow and plain 0.39, deep and plain
    2.04, deep with shortcuts 0.26 (on the catalogue's larger images the shallow one stays ahead of the last).
    """
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(load_digits().target)

    def loss(blocks: int, *, shortcuts: bool) -> float:
        losses = []
        for seed in range(3):
            torch.manual_seed(seed)
            network = SmallResNet(in_channels=1, widths=[12], blocks_per_stage=blocks, shortcuts=shortcuts)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
            for step in range(120):
                chosen = torch.randint(len(images), (48,))
                value = F.cross_entropy(network(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                losses += [value.item()] if step >= 100 else []
        return sum(losses) / len(losses)

    shallow, residual, plain = loss(2, shortcuts=False), loss(27, shortcuts=True), loss(27, shortcuts=False)
    assert max(shallow, residual) < 0.5 * plain


def test_a_plain_stack_has_the_parameters_of_the_residual_one_where_widths_stay():
    """row 84: the shortcuts themselves cost nothing there."""
    residual, plain = (SmallResNet(widths=[8], blocks_per_stage=3, shortcuts=with_them) for with_them in (True, False))
    assert count(residual) == count(plain)
    with pytest.raises(UserError, match="zero_init_residual without shortcuts would let nothing through"):
        SmallResNet(zero_init_residual=True, shortcuts=False)


def test_a_channel_shuffle_is_a_permutation_whose_inverse_is_the_shuffle_with_the_other_factor():
    """row 91: 12 channels in 3 groups come in the order 0 4 8 1 5 9 ...; with 4 groups they come back."""
    channels = torch.arange(12.0)[None, :, None, None]
    shuffled = nn.ChannelShuffle(3)(channels)
    assert shuffled.flatten().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert torch.equal(nn.ChannelShuffle(4)(shuffled), channels)


def test_without_the_shuffle_groups_of_shufflenet_would_not_learn_of_one_another():
    """row 91: a score depends on every input channel of a stage, and only because of the shuffle."""

    def reached(shuffled: bool) -> int:
        stage = ShuffleNetV1().eval().stages[1][1:3]
        if not shuffled:
            for unit in stage:
                unit.branch[3] = nn.Identity()
        maps = torch.rand(1, 480, 4, 4, requires_grad=True)
        stage(maps)[0, 0].sum().backward()
        return int((maps.grad.abs().sum((0, 2, 3)) > 0).sum())

    assert reached(True) > 1.5 * reached(False)


@pytest.mark.parametrize("network", [AlexNet2012, ZFNet])
def test_other_sizes_are_refused_with_the_one_that_is_allowed(network):
    """rows 78, 79: their wide layers see all of the image."""
    with torch.device("meta"), pytest.raises(UserError, match="images are 256x256; allowed: 224x224"):
        network(10, hidden=8)(torch.zeros(1, 3, 256, 256))


def test_other_groups_are_refused():
    with pytest.raises(UserError, match="ShuffleNetV1: groups is 5; allowed: 1, 2, 3, 4, 8"):
        ShuffleNetV1(groups=5)
