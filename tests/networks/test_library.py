"""Classifiers of torchvision and timm keep the contract that our own keep."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from tests.tolerances import assert_close

# name: smallest image that works, in pixels.
TORCHVISION = {
    "alexnet": 64,
    "resnet18": 32,
    "mobilenet_v3_small": 32,
    "squeezenet1_1": 32,
    "shufflenet_v2_x0_5": 32,
    "swin_t": 32,
}
TIMM = {"resnet10t": 32, "mobilenetv1_100": 32, "levit_128s": 224, "vit_tiny_patch16_224": 224, "mvitv2_tiny": 64}


def make(name: str) -> nn.Module:
    if name in TORCHVISION:
        return torchvision.models.get_model(name, num_classes=5)
    return timm.create_model(name, num_classes=5)


@pytest.mark.parametrize(("name", "size_px"), (TORCHVISION | TIMM).items())
def test_the_contract_holds(name, size_px):
    """rows 77, 78: scores (B, num_classes), a gradient for every parameter by name, no word from batch-mates."""
    network, images = make(name), torch.randn(2, 3, size_px, size_px)
    scores = network(images)
    assert scores.shape == (2, 5)
    nn.functional.cross_entropy(scores, torch.arange(2)).backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    network.eval()
    with torch.no_grad():
        assert_close(torch.cat([network(images[:1]), network(images[1:])]), network(images))
