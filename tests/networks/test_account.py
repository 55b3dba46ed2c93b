"""Are parameters, multiply-adds, shapes and memory of networks those that one counts by hand, or their papers do?"""

import pytest
import timm
import torch
import torchvision
from torch import nn

from lightning_cv.networks.account import account
from lightning_cv.networks.receptive_field import receptive_field


def test_a_convolution_by_hand():
    """rows 60, 67, 68: 3 to 8 channels of 3x3 on 16x16: 224 parameters, 896 bytes, 55,296 multiply-adds."""
    counted = account(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), torch.zeros(1, 3, 16, 16))
    assert (counted.parameters, counted.parameter_bytes, counted.macs) == (224, 896, 8 * 16 * 16 * 3 * 3 * 3)
    (layer,) = counted.layers
    assert (layer.name, layer.kind, layer.output, layer.output_bytes) == ("0", "Conv2d", ((8, 16, 16),), 8 * 256 * 4)


def test_100_shapes_of_convolutions_follow_the_formula():
    """row 60: H' = (H - K + 2P) / S + 1, rounded down; row 62: half of K - 1 keeps the size; row 64 strides."""
    draw = torch.Generator().manual_seed(5)
    for _ in range(100):
        kernel, padding, stride, size = (int(torch.randint(1, high, (), generator=draw)) for high in (6, 4, 4, 30))
        size += kernel
        network = nn.Sequential(nn.Conv2d(2, 3, kernel, stride=stride, padding=padding))
        (layer,) = account(network, torch.zeros(1, 2, size, size)).layers
        meant = (size - kernel + 2 * padding) // stride + 1
        assert layer.output == ((3, meant, meant),)
    for kernel in (1, 3, 5, 7):
        (layer,) = account(
            nn.Sequential(nn.Conv2d(1, 1, kernel, padding=(kernel - 1) // 2)), torch.zeros(1, 1, 9, 9)
        ).layers
        assert layer.output == ((1, 9, 9),)


@pytest.mark.parametrize(
    ("make", "gmacs"),
    [
        (torchvision.models.resnet50, 4.09),
        (torchvision.models.vgg16, 15.47),
        (torchvision.models.alexnet, 0.71),
        (lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False), 1.50),
        (torchvision.models.vit_b_16, 17.56),
        (torchvision.models.swin_t, 4.49),
    ],
    ids=["resnet50", "vgg16", "alexnet", "googlenet", "vit_b_16", "swin_t"],
)
def test_multiply_adds_at_224_are_the_published_ones(make, gmacs):
    """rows 68, 85, 93: torchvision's own table of GFLOPS, which counts multiply-adds once; within 1%, attention 4%."""
    with torch.device("meta"):
        network = make()
        counted = account(network, torch.zeros(1, 3, 224, 224))
    assert counted.macs == pytest.approx(1e9 * gmacs, rel=0.04 if gmacs in (17.56, 4.49) else 0.01)
    assert sum(layer.macs for layer in counted.layers) <= counted.macs
    assert sum(layer.parameters for layer in counted.layers) == counted.parameters


def test_the_costs_of_architectures_are_in_the_order_of_the_course():
    """row 93: VGG computes and keeps most, GoogLeNet little; AlexNet has many parameters and computes least."""
    models = torchvision.models
    makes = {"vgg16": models.vgg16, "resnet50": models.resnet50, "alexnet": models.alexnet}
    makes["googlenet"] = lambda: models.googlenet(init_weights=False, aux_logits=False)
    with torch.device("meta"):
        counted = {name: account(make(), torch.zeros(1, 3, 224, 224)) for name, make in makes.items()}
    by_macs = sorted(counted, key=lambda name: counted[name].macs, reverse=True)
    assert by_macs == ["vgg16", "resnet50", "googlenet", "alexnet"]
    by_parameters = sorted(counted, key=lambda name: counted[name].parameters, reverse=True)
    assert by_parameters == ["vgg16", "alexnet", "resnet50", "googlenet"]
    assert max(counted, key=lambda name: counted[name].activation_bytes) == "vgg16"


def test_shared_weights_count_once_and_frozen_ones_are_told():
    layer = nn.Linear(4, 4)
    layer.bias.requires_grad_(False)
    counted = account(nn.Sequential(layer, layer), torch.zeros(1, 4))
    assert (counted.parameters, counted.trainable, counted.macs) == (20, 16, 32)


def test_grouped_and_depthwise_convolutions_cost_their_share():
    """rows 75, 76: weights and multiply-adds divided by the groups; 64 channels depthwise and pointwise: 576 + 4096."""
    image = torch.zeros(1, 64, 8, 8)
    full, grouped = (account(nn.Sequential(nn.Conv2d(64, 64, 3, bias=False, groups=g)), image) for g in (1, 4))
    assert (full.parameters, full.macs) == (4 * grouped.parameters, 4 * grouped.macs)
    split = nn.Sequential(nn.Conv2d(64, 64, 3, groups=64, bias=False), nn.Conv2d(64, 64, 1, bias=False))
    assert [layer.parameters for layer in account(split, image).layers] == [576, 4096]
    assert full.parameters == 36864


def test_the_network_is_left_as_it_was():
    network = timm.create_model("test_resnet", num_classes=3)
    network.layer1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    account(network, torch.randn(1, 3, 64, 64))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def stack(length: int, kernel: int) -> nn.Module:
    return nn.Sequential(
        *[nn.Sequential(nn.Conv2d(2, 2, kernel, padding=kernel // 2), nn.ReLU()) for _ in range(length)]
    )


@pytest.mark.parametrize(("length", "kernel", "field"), [(3, 3, 7), (4, 5, 17), (1, 1, 1), (2, 3, 5)])
def test_the_receptive_field_of_stacked_convolutions(length, kernel, field):
    """row 63: 1 + L (K - 1), exact; row 80: two of 3x3 see as much as one of 5x5."""
    assert receptive_field(stack(length, kernel), (2, 41, 41)) == (field, field)


def test_strides_multiply_it_and_a_mean_sees_everything():
    """row 63: by hand, 3x3 behind a stride of 2: 3 + 2 (3 - 1) = 7; one axis alone; a layer of zeros sees nothing."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.MaxPool2d(3, stride=1, padding=1))
    assert receptive_field(network, (1, 33, 33)) == (7, 7)
    assert receptive_field(nn.Conv2d(1, 1, (1, 5)), (1, 20, 20)) == (1, 5)
    assert receptive_field(nn.AdaptiveAvgPool2d(1), (1, 12, 14)) == (12, 14)
    zero = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(zero.weight)
    assert receptive_field(zero, (1, 9, 9)) is None


def test_maps_of_regions_see_nothing_where_there_is_none():
    class Regions(nn.Module):
        def forward(self, images):
            return images[:0]

    assert receptive_field(Regions(), (1, 9, 9)) is None
