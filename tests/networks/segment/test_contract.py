"""Every segmentation network of our own, found by walking the package, keeps the contract of `Segment`."""

import math

import pytest
import torch
from torch import nn

from lightning_cv.losses import PixelCrossEntropy
from lightning_cv.networks import find_head, num_classes, start_head, with_new_head
from lightning_cv.networks.segment.panoptic_base import BatchPanoptic
from tests.networks.test_contract import own_networks
from tests.tolerances import assert_close

NETWORKS = [network for network in own_networks("segment") if not issubclass(network, BatchPanoptic)]
SMALL = {"UNet": {"width": 8}, "SegNet": {"widths": (8, 8, 8), "convolutions": (1, 1, 1)}, "PspNet": {"width": 16}}


def build(network: type[nn.Module], **options) -> nn.Module:
    torch.manual_seed(0)
    return network(**{**SMALL.get(network.__name__, {}), **options})


def images_for(network: type[nn.Module], count: int = 2) -> torch.Tensor:
    return torch.randn(count, *network.example_input, generator=torch.Generator().manual_seed(1))


def test_there_are_networks():
    """A suite that finds nothing fails."""
    found = {network.__name__ for network in NETWORKS}
    assert {"UNet", "PspNet", "Fcn", "SegNet", "ConstantResolution", "SlidingWindow"} <= found


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
@pytest.mark.parametrize("classes", [1, 5])
def test_scores_are_as_large_as_the_image(network, classes):
    """row 209: output size = input size, a score for each class."""
    built, images = build(network, num_classes=classes), images_for(network)
    assert built.eval()(images).shape == (2, classes, *images.shape[2:])
    assert num_classes(built) == classes
    assert find_head(built) in set(built.modules())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_every_parameter_gets_a_gradient(network):
    """row 215: after one backward every parameter, by name, has a gradient that is finite and not all zero."""
    built, images = build(network), images_for(network)
    classes = torch.randint(num_classes(built), (2, *images.shape[2:]), generator=torch.Generator().manual_seed(2))
    PixelCrossEntropy()(built(images), classes).backward()
    without = [
        name
        for name, parameter in built.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert not without


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_scores_do_not_depend_on_batch_mates(network):
    built, images = build(network).eval(), images_for(network)
    with torch.no_grad():
        together = built(images)
        assert_close(torch.cat([built(image[None]) for image in images]), together)
        assert torch.equal(built(images), together)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_the_first_loss_is_ln_c(network):
    """row 124: with a started head the loss of the first batch is ln C within 5%."""
    built = build(network, num_classes=7)
    start_head(built)
    log_p = built(images_for(network)).log_softmax(1)
    assert -log_p.mean().item() == pytest.approx(math.log(7), rel=0.05)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_a_new_head_has_other_classes(network):
    built = with_new_head(build(network), 4)
    assert built.eval()(images_for(network)).shape[1] == 4


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_a_gpu_says_the_same_and_trains_in_bf16(network):
    built, images = build(network).eval(), images_for(network)
    with torch.no_grad():
        torch.testing.assert_close(built.cuda()(images.cuda()).cpu(), built.cpu()(images), rtol=1e-2, atol=1e-2)
    classes = torch.zeros(2, *images.shape[2:], dtype=torch.int64).cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = PixelCrossEntropy()(built.cuda().train()(images.cuda()), classes)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in built.parameters())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_weights_survive_a_file(network, tmp_path):
    built, images = build(network).eval(), images_for(network)
    torch.save(built.state_dict(), tmp_path / "weights.pt")
    other = build(network).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(built(images), other(images))
