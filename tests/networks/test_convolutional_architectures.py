"""The convolutional networks of the course, reached in torchvision and timm, have the structure that it describes."""

import math

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.googlenet import Inception
from torchvision.models.resnet import Bottleneck

from lightning_cv.networks import start_head
from lightning_cv.networks.account import account
from lightning_cv.networks.receptive_field import receptive_field
from tests.tolerances import assert_close


def counted(name: str, library=torchvision.models.get_model):
    with torch.device("meta"):
        return account(library(name), torch.zeros(1, 3, 224, 224))


def test_vgg_is_made_of_small_convolutions():
    """row 80: 3x3 with stride 1, pooling 2x2 with stride 2, channels that double up to 512."""
    with torch.device("meta"):
        layers = list(torchvision.models.vgg16().features)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {((3, 3), (1, 1), (1, 1))}
    assert {(p.kernel_size, p.stride) for p in layers if isinstance(p, nn.MaxPool2d)} == {(2, 2)}
    assert sorted({c.out_channels for c in convolutions}) == [64, 128, 256, 512]


def test_two_small_convolutions_see_what_a_large_one_sees_for_less():
    """row 80: two 3x3 see 5 x 5 pixels with 18 C² weights, fewer than the 25 C² of one 5x5."""
    two = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.Conv2d(8, 8, 3, bias=False))
    one = nn.Conv2d(8, 8, 5, bias=False)
    assert receptive_field(two, (8, 15, 15)) == receptive_field(one, (8, 15, 15)) == (5, 5)
    counts = [sum(p.numel() for p in network.parameters()) for network in (two, one)]
    assert counts == [18 * 64, 25 * 64]


def test_an_inception_module_concatenates_its_branches():
    """row 82: channels are the sum of the branches', height and width stay."""
    module = Inception(192, 64, 96, 128, 16, 32, 32).eval()
    features = torch.randn(1, 192, 14, 14)
    joined = module(features)
    assert joined.shape == (1, 64 + 128 + 32 + 32, 14, 14)
    branches = [module.branch1, module.branch2, module.branch3, module.branch4]
    assert_close(joined, torch.cat([branch(features) for branch in branches], dim=1))


def test_googlenet_has_three_heads_in_training_and_one_in_evaluation():
    """rows 81, 83: the auxiliary ones are there to train along only."""
    network = torchvision.models.googlenet(num_classes=5, aux_logits=True, init_weights=False)
    images = torch.randn(2, 3, 64, 64)
    assert [scores.shape for scores in network(images)] == 3 * [(2, 5)]
    assert network.eval()(images).shape == (2, 5)


def test_a_bottleneck_makes_a_deeper_network_cost_hardly_more():
    """row 85: ResNet-50 needs 4.09 billion multiply-adds within 1%, less than twice ResNet-34; stride on the 3x3."""
    deep, shallow = counted("resnet50").macs, counted("resnet34").macs
    assert deep == pytest.approx(4.09e9, rel=0.01)
    assert deep < 2 * shallow
    with torch.device("meta"):
        block = torchvision.models.resnet50().layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2)), "version 1.5"


def test_a_pre_activation_block_lets_everything_pass():
    """row 86: with a zero last convolution the output is the input, also where negative; a classic block cuts that."""
    block = timm.create_model("resnetv2_18", layers=(2, 1), channels=(8, 16), stem_type="").stages[0].blocks[1].eval()
    classic = torchvision.models.resnet18().layer1[1].eval()
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(classic.bn2.weight)
    features = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(features), features)
    wide = torch.randn(2, 64, 6, 6)
    assert torch.equal(classic(wide), wide.relu())


def test_parallel_paths_are_a_grouped_convolution():
    """row 87: 32 explicit paths, added up, equal ResNeXt's grouped bottleneck to 1e-5; no larger than ResNet-50."""
    block = Bottleneck(256, 64, groups=32, base_width=4).eval()
    features = torch.randn(1, 256, 7, 7)
    with torch.no_grad():
        squeezed = F.relu(block.bn1(block.conv1(features)))
        middle = block.bn2
        scale = middle.weight / (middle.running_var + middle.eps).sqrt()
        total = torch.zeros(1, 256, 7, 7)
        for path in range(32):
            of_path = slice(4 * path, 4 * path + 4)
            filtered = F.conv2d(squeezed[:, of_path], block.conv2.weight[of_path], padding=1)
            filtered = (filtered - middle.running_mean[of_path, None, None]) * scale[of_path, None, None]
            filtered = F.relu(filtered + middle.bias[of_path, None, None])
            total += F.conv2d(filtered, block.conv3.weight[:, of_path])
        explicit = F.relu(block.bn3(total) + features)
        assert (block(features) - explicit).abs().max() < 1e-5
    assert counted("resnext50_32x4d").parameters <= counted("resnet50").parameters


def test_squeeze_and_excitation_weighs_channels():
    """row 88: a gate in (0, 1) of shape (B, C, 1, 1) multiplies the map; it sees the mean of each channel only."""
    module, features = timm.create_model("seresnet18").layer1[0].se, torch.randn(3, 64, 5, 5)
    gates = []
    module.gate.register_forward_hook(lambda _module, _inputs, output: gates.append(output))
    weighed = module(features)
    (gate,) = gates
    assert gate.shape == (3, 64, 1, 1)
    assert gate.min() > 0
    assert gate.max() < 1
    assert_close(weighed, features * gate)
    by_hand = torch.sigmoid(module.fc2(F.relu(module.fc1(features.mean((2, 3), keepdim=True)))))
    assert_close(gate, by_hand)


def test_a_dense_layer_sees_all_before_it():
    """row 89: layer l of a block gets k0 + 32 l channels."""
    network, seen = torchvision.models.densenet121().eval(), []
    for layer in network.features.denseblock2.values():
        layer.norm1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[1]))
    network(torch.randn(1, 3, 32, 32))
    assert seen == [128 + 32 * number for number in range(12)]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: timm.create_model("mobilenetv1_100"), "DepthwiseSeparableConv"),
        (torchvision.models.mobilenet_v2, "InvertedResidual"),
    ],
    ids=["v1", "v2"],
)
def test_a_mobile_block_filters_each_channel_and_then_mixes_them(make, kind):
    """row 90: every convolution of a block is depthwise 3x3 or pointwise, and a pointwise one comes last."""
    with torch.device("meta"):
        blocks = [module for module in make().modules() if type(module).__name__ == kind]
    assert len(blocks) > 10
    for block in blocks:
        convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        for layer in convolutions:
            depthwise = layer.kernel_size == (3, 3) and layer.groups == layer.in_channels
            assert depthwise or (layer.kernel_size == (1, 1) and layer.groups == 1)
        assert convolutions[-1].kernel_size == (1, 1)
        assert convolutions[-2].groups == convolutions[-2].in_channels


def test_mobilenet_of_timm_starts_far_from_ln_c():
    """rows 90, 124: its first loss is above 1.2 ln C (measured 1.76 at 224 pixels); a started head mends it to 5%."""
    torch.manual_seed(0)
    network, images = timm.create_model("mobilenetv1_100", num_classes=10), torch.randn(8, 3, 64, 64)
    assert -network(images).log_softmax(1).mean().item() > 1.2 * math.log(10)
    start_head(network)
    assert -network(images).log_softmax(1).mean().item() == pytest.approx(math.log(10), rel=0.05)


def test_the_order_of_costs_is_that_of_the_course():
    """row 93: VGG needs most, GoogLeNet little, AlexNet least work; AlexNet has many parameters all the same."""
    found = {name: counted(name) for name in ("vgg16", "resnet50", "alexnet")}
    with torch.device("meta"):
        found["googlenet"] = account(
            torchvision.models.googlenet(aux_logits=False, init_weights=False), torch.zeros(1, 3, 224, 224)
        )
    macs = {name: result.macs / 1e9 for name, result in found.items()}
    assert sorted(macs, key=macs.get, reverse=True) == ["vgg16", "resnet50", "googlenet", "alexnet"]
    assert [macs[name] for name in ("vgg16", "resnet50", "googlenet", "alexnet")] == pytest.approx(
        [15.5, 4.1, 1.5, 0.71], rel=0.02
    )
    sizes = {name: result.parameters for name, result in found.items()}
    assert sorted(sizes, key=sizes.get, reverse=True) == ["vgg16", "alexnet", "resnet50", "googlenet"]
