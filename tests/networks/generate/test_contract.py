"""Every generative network of our own, found by walking the package, keeps the contract of `Generate`."""

import inspect
import math

import pytest
import torch
from torch import nn

from lightning_cv.contracts import (
    Density,
    HasBound,
    HasCodes,
    HasEnergy,
    HasLatents,
    HasLogProb,
    Reconstructs,
    SamplesInSteps,
)
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Generative, LatentGenerator
from lightning_cv.ops.draws import OwnDraws
from tests.networks.test_contract import own_networks
from tests.tolerances import assert_close

NETWORKS = [network for network in own_networks("generate") if issubclass(network, Generative)]
CONDITIONAL = [n for n in NETWORKS if "num_classes" in inspect.signature(n.__init__).parameters]
each_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)


def build(network: type[nn.Module], **options) -> nn.Module:
    torch.manual_seed(0)
    built = network(**options)
    for name, parameter in built.named_parameters():
        if not parameter.any():  # a layer that starts at zero hides what is before it
            nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    return built


def images_for(network: nn.Module, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(17, (count, *network.image), generator=generator) / 16


def draws(*indices: int, seed: int = 3) -> OwnDraws:
    return OwnDraws.of_indices(torch.tensor(indices), seed=seed)


def labels_for(network: nn.Module, count: int = 3) -> torch.Tensor | None:
    return None if network.num_classes is None else torch.arange(count) % network.num_classes


def said_of(network: nn.Module, images: torch.Tensor, labels: torch.Tensor | None, own: OwnDraws) -> dict:
    """Its loss terms; of a generator that has none, since a discriminator judges it, the mean of each image."""
    if isinstance(network, LatentGenerator):
        with pytest.raises(UserError, match="Adversarial"):
            network(images, labels, own)
        return {"mean": network.make(own, labels).mean((1, 2, 3))}
    return network(images, labels, own)


def samples_of(network: nn.Module, *indices: int) -> torch.Tensor:
    labels = None if network.num_classes is None else torch.tensor(indices) % network.num_classes
    return network.sample(draws(*indices), labels)


def test_there_are_networks():
    """A suite that finds nothing fails."""
    assert {"Made"} <= {network.__name__ for network in NETWORKS}


@each_network
def test_the_density_says_what_a_network_offers(network):
    """row 230: a tractable one has log p, a bounded one a bound, an unnormalized one an energy; others neither.

    Losses say as much where the density is one that they train; a diffusion trains another, and has only its bound.
    """
    built = network()
    offers = {
        Density.TRACTABLE: HasLogProb,
        Density.BOUNDED: HasBound,
        Density.UNNORMALIZED: HasEnergy,
    }
    if built.density in offers:
        assert isinstance(built, offers[built.density])
    if built.density in (Density.TRACTABLE, Density.BOUNDED) and not isinstance(built, SamplesInSteps):
        assert built.nll_terms
        assert set(built.nll_terms) <= said_of(built, images_for(built), labels_for(built), draws(0, 1, 2)).keys()
    else:
        assert built.nll_terms == ()
        assert isinstance(built, HasBound) == (built.density is Density.BOUNDED)
    if built.density is Density.NONE:
        with pytest.raises(UserError):
            samples_of(built, 0)


@each_network
def test_every_parameter_gets_a_gradient(network):
    """row 230: after one backward every parameter, by name, has a gradient that is finite and not all zero."""
    built = build(network)
    terms = said_of(built, images_for(built, 8), labels_for(built, 8), draws(*range(8)))
    assert terms
    for value in terms.values():
        assert value.shape in ((8,), ())
        assert value.isfinite().all()
    torch.stack([value.mean() for value in terms.values()]).sum().backward()
    without = [
        name
        for name, parameter in built.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any())
    ]
    assert not without


@each_network
def test_what_is_said_of_an_image_depends_on_no_other(network):
    """row 230: loss terms of an image alone are those in a batch, and again the same."""
    built = build(network).eval()
    images, labels = images_for(built), labels_for(built)
    with torch.no_grad():
        together = said_of(built, images, labels, draws(0, 1, 2))
        for place in range(3):
            own = None if labels is None else labels[place, None]
            alone = said_of(built, images[place, None], own, draws(place))
            for name, value in alone.items():
                if together[name].ndim:
                    assert_close(value, together[name][place, None])
        again = said_of(built, images, labels, draws(0, 1, 2))
        assert all(torch.equal(value, again[name]) for name, value in together.items())


@each_network
def test_a_sample_depends_on_its_own_draws_alone(network):
    """row 242: values in [0, 1], the same for a seed whatever the batch, others for another seed."""
    built = build(network).eval()
    if built.density is Density.NONE:
        pytest.skip("has no distribution")
    with torch.no_grad():
        together = samples_of(built, 0, 1, 2, 3)
        assert together.shape == (4, *built.image)
        assert together.min() >= 0
        assert together.max() <= 1
        assert_close(
            torch.cat([samples_of(built, 2, 3), samples_of(built, 1), samples_of(built, 0)]), together[[2, 3, 1, 0]]
        )
        assert not torch.equal(together[0], together[1])
        if built.levels is not None:
            steps = together * (built.levels - 1)
            assert_close(steps.round(), steps)


@each_network
def test_images_of_codes_are_images(network):
    """row 238: what comes back has the shape and the range of images; codes and latent vectors are as stated."""
    built = build(network).eval()
    images, labels = images_for(built), labels_for(built)
    with torch.no_grad():
        if isinstance(built, Reconstructs):
            back = built.reconstruct(images, labels)
            assert back.shape == images.shape
            assert back.min() >= 0
            assert back.max() <= 1
        if isinstance(built, HasLatents):
            posterior = built.encode(images, labels)
            assert posterior.mean.shape == (3, built.num_latents)
            assert posterior.std is None or (posterior.std > 0).all()
            assert built.decode(posterior.mean, labels).shape == images.shape
        if isinstance(built, HasCodes):
            codes = built.codes(images)
            assert all(grid.dtype == torch.int64 and grid.min() >= 0 and grid.max() < built.num_codes for grid in codes)
            assert built.decode_codes(codes).shape == images.shape


@pytest.mark.parametrize("network", CONDITIONAL, ids=lambda n: n.__name__)
def test_a_conditional_network_needs_a_class_and_another_one_takes_none(network):
    """row 231: p(x | y) and p(x) are never taken for each other; the class changes what is said."""
    conditional, other = build(network, num_classes=3).eval(), build(network).eval()
    images, labels = images_for(conditional), torch.tensor([0, 1, 2])
    terms = said_of(conditional, images, labels, draws(0, 1, 2))
    rolled = said_of(conditional, images, labels.roll(1), draws(0, 1, 2))
    assert any(not torch.equal(value, rolled[name]) for name, value in terms.items())
    with pytest.raises(UserError):
        said_of(conditional, images, None, draws(0, 1, 2))
    if other.num_classes is None:
        with pytest.raises(UserError):
            said_of(other, images, labels, draws(0, 1, 2))


@each_network
def test_weights_survive_a_file(network, tmp_path):
    built = build(network).eval()
    images, labels = images_for(built), labels_for(built)
    torch.save(built.state_dict(), tmp_path / "weights.pt")
    other = build(network).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(0.1)
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        expected = said_of(built, images, labels, draws(0, 1, 2))
        assert all(torch.equal(v, expected[k]) for k, v in said_of(other, images, labels, draws(0, 1, 2)).items())


@each_network
def test_a_small_computer_word_is_enough_to_train(network):
    """row 230: under bfloat16 autocast the terms are finite, and near those of float32."""
    built = build(network)
    images, labels = images_for(built, 8), labels_for(built, 8)
    exact = said_of(build(network), images, labels, draws(*range(8)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = said_of(built, images, labels, draws(*range(8)))
    for name, value in terms.items():
        assert value.dtype == torch.float32
        assert value.mean().item() == pytest.approx(exact[name].mean().item(), rel=0.1, abs=1.0)
    torch.stack([value.mean() for value in terms.values()]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters())


# The others have the size of the network that they are given.
SIZED = [network for network in NETWORKS if "image" in inspect.signature(network.__init__).parameters]


def test_networks_without_a_size_are_given_one_that_has_it():
    given = {network.__name__ for network in set(NETWORKS) - set(SIZED)}
    assert given == {"ControlledDiffusion", "Diffusion", "FlowMatching", "LatentDiffusion"}


@pytest.mark.parametrize("network", SIZED, ids=lambda n: n.__name__)
def test_an_absurd_size_is_one_line(network):
    with pytest.raises(UserError, match="image"):
        network(image=(0, 8, 8))
    if "levels" in inspect.signature(network.__init__).parameters:
        with pytest.raises(UserError, match="levels"):
            network(levels=1)


@pytest.mark.gpu
@each_network
def test_a_gpu_says_the_same_and_trains_in_bf16(network):
    built = build(network).eval()
    images, labels = images_for(built), labels_for(built)
    expected = said_of(built, images, labels, draws(0, 1, 2))
    moved = OwnDraws.of_indices(torch.arange(3).cuda(), seed=3)
    there = said_of(built.cuda(), images.cuda(), None if labels is None else labels.cuda(), moved)
    for name, value in there.items():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-2, atol=1e-2)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        terms = said_of(built.train(), images.cuda(), None if labels is None else labels.cuda(), moved)
    assert all(math.isfinite(value.mean().item()) for value in terms.values())
