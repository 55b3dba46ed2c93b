"""Every denoiser of our own, found by walking the package, keeps the contract of a diffusion."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError
from tests.networks.test_contract import own_networks

DENOISERS = [
    n for n in own_networks("generate") if list(inspect.signature(n.forward).parameters)[1:3] == ["noisy", "time"]
]
each_denoiser = pytest.mark.parametrize("denoiser", DENOISERS, ids=lambda n: n.__name__)
TIMES = torch.tensor([0.0, 250.5, 999.0, 1000.0])


def build(denoiser: type[nn.Module], **options) -> nn.Module:
    torch.manual_seed(0)
    built = denoiser(**options)
    for name, parameter in built.named_parameters():
        if not parameter.any() and parameter.requires_grad:  # a layer that starts at zero hides what is before it
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return built


def noisy(denoiser: nn.Module) -> Tensor:
    return torch.randn(4, *denoiser.image, generator=torch.Generator().manual_seed(1))


def test_there_are_denoisers():
    """A suite that finds nothing fails."""
    assert {"Dit", "UNet"} <= {denoiser.__name__ for denoiser in DENOISERS}


@each_denoiser
def test_it_gives_an_image_for_an_image(denoiser):
    """row 259: the shape is kept, in float32; time and class count."""
    for options in ({}, {"num_classes": 3}):
        built = build(denoiser, **options).eval()
        labels = torch.tensor([0, 1, 2, 3]) if options else None
        with torch.no_grad():
            given = built(noisy(built), TIMES, labels)
            assert given.shape == (4, *built.image)
            assert given.dtype == torch.float32
            assert given.isfinite().all()
            assert not torch.equal(given[0], built(noisy(built), TIMES.flip(0), labels)[0])
            if labels is not None:
                assert not torch.equal(given[0], built(noisy(built), TIMES, labels.roll(1))[0])


@each_denoiser
def test_what_is_said_of_an_image_depends_on_no_other(denoiser):
    """row 259: an image alone is told what it is told in a batch."""
    built = build(denoiser).eval()
    with torch.no_grad():
        together = built(noisy(built), TIMES, None)
        alone = [built(noisy(built)[i, None], TIMES[i, None], None) for i in range(4)]
    # Convolutions of one image and of four are added up in another order.
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)


@each_denoiser
@pytest.mark.parametrize("num_classes", [None, 3])
def test_every_parameter_gets_a_gradient(denoiser, num_classes):
    """row 259: after one backward every parameter, by name, has a gradient that is finite and not all zero."""
    built = build(denoiser, num_classes=num_classes)
    labels = None if num_classes is None else torch.tensor([0, 1, 2, 3])
    built(noisy(built), TIMES, labels).square().mean().backward()
    without = [
        name
        for name, parameter in built.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any())
    ]
    assert not without


@each_denoiser
def test_a_class_is_given_where_one_is_asked_for(denoiser):
    """row 231: "no class" is one of its own, the last; nothing is taken for it."""
    with pytest.raises(UserError):
        build(denoiser, num_classes=3)(torch.zeros(4, *denoiser.example_input), TIMES, None)
    with pytest.raises(UserError):
        build(denoiser)(torch.zeros(4, *denoiser.example_input), TIMES, torch.zeros(4, dtype=torch.int64))
