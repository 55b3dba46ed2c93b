"""Classifiers, ours and the libraries', have exactly the published number of parameters."""

import pytest
import timm
import torch
import torchvision

from lightning_cv.networks.account import account
from lightning_cv.networks.classify import AlexNet2012, LeNet5, ShuffleNetV1, ZFNet

# The classification part of the catalogue's table "Parameter counts", 1,000 classes.
TORCHVISION = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "shufflenet_v2_x1_0": 2_278_604,
    "vit_b_16": 86_567_656,
    "swin_t": 28_288_354,
    "swin_v2_t": 28_351_570,
}
TIMM = {
    "resnetv2_50": 25_549_352,
    "seresnet50": 28_088_024,
    "mobilenetv1_100": 4_231_976,
    "vit_base_patch16_224": 86_567_656,
    "mvitv2_tiny": 24_173_320,
    "mixer_b16_224": 59_880_472,
    "mixer_s16_224": 18_528_264,
}


def count(make) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    """rows 78, 124: torchvision's own metadata and the papers' figures."""
    assert count(lambda: torchvision.models.get_model(name)) == TORCHVISION[name]


@pytest.mark.parametrize(("aux_logits", "expected"), [(False, 6_624_904), (True, 13_004_888)])
def test_googlenet(aux_logits, expected):
    """row 124: with and without the two auxiliary classifiers."""
    make = torchvision.models.googlenet
    assert count(lambda: make(aux_logits=aux_logits, init_weights=False)) == expected


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    """row 124: what torchvision lacks."""
    assert count(lambda: timm.create_model(name)) == TIMM[name]


def test_lenet5():
    """row 77: our own, since no library has it."""
    assert count(LeNet5) == 61_706


@pytest.mark.parametrize(
    ("make", "expected"), [(AlexNet2012, 60_965_224), (ZFNet, 62_357_608), (ShuffleNetV1, 1_865_728)]
)
def test_what_no_library_has(make, expected):
    """rows 78, 79, 91, 124: the papers' networks, which the two libraries vary or lack."""
    assert count(make) == expected


def test_the_parameters_of_alexnet_are_in_its_wide_layers():
    """row 78: at least 95% of them, and at least 85% of the multiply-adds are in its convolutions."""
    with torch.device("meta"):
        network = torchvision.models.alexnet()
        counted = account(network, torch.zeros(1, 3, 224, 224))
    wide = sum(layer.parameters for layer in counted.layers if layer.kind == "Linear")
    assert wide >= 0.95 * counted.parameters
    assert sum(layer.macs for layer in counted.layers if layer.kind == "Conv2d") >= 0.85 * counted.macs
