"""Generators and discriminators of adversarial games: what every discriminator keeps, and the published sizes."""

import inspect

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import (
    DcganDiscriminator,
    DcganGenerator,
    PatchDiscriminator,
    ResidualDiscriminator,
    ResidualGenerator,
    UNetTranslator,
)
from lightning_cv.ops.draws import OwnDraws
from tests.networks.test_contract import own_networks
from tests.tolerances import assert_close

DISCRIMINATORS = [network for network in own_networks("generate") if network.__name__.endswith("Discriminator")]
CONDITIONAL = [n for n in DISCRIMINATORS if "num_classes" in inspect.signature(n.__init__).parameters]
each_discriminator = pytest.mark.parametrize("network", DISCRIMINATORS, ids=lambda n: n.__name__)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def images_for(network: nn.Module, number: int = 4) -> torch.Tensor:
    return torch.rand(number, *network.image, generator=torch.Generator().manual_seed(1))


def build(network: type[nn.Module], **options) -> nn.Module:
    torch.manual_seed(0)
    return network(**options)


def test_there_are_discriminators():
    """A suite that finds nothing fails."""
    assert {DcganDiscriminator, ResidualDiscriminator} <= set(DISCRIMINATORS)


CASES = [(network, None) for network in DISCRIMINATORS] + [(network, 4) for network in CONDITIONAL]


@pytest.mark.parametrize(("network", "num_classes"), CASES)
def test_every_parameter_gets_a_gradient(network, num_classes):
    """row 247: of scores that are float32, one or more an image, also under bfloat16 autocast."""
    built = build(network, **({} if num_classes is None else {"num_classes": num_classes}))
    told = () if num_classes is None else (torch.arange(4),)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert built(images_for(built), *told).dtype == torch.float32
    scores = built(images_for(built), *told)
    assert scores.shape[0] == 4
    assert scores.dtype == torch.float32
    scores.square().sum().backward()
    without = [name for name, p in built.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@each_discriminator
def test_a_score_depends_on_its_own_image_alone(network):
    """row 247: in evaluation."""
    built = build(network).eval()
    images = images_for(built)
    with torch.no_grad():
        together = built(images)
        assert_close(torch.cat([built(image[None]) for image in images]), together)


@pytest.mark.parametrize("network", CONDITIONAL)
def test_a_conditional_one_scores_pairs_of_image_and_class(network):
    """Miyato and Koyama 2018: the class changes the score; it is missing, or given in vain: one line."""
    built = build(network, num_classes=4).eval()
    images = images_for(built)
    assert not torch.equal(built(images, torch.zeros(4, dtype=torch.int64)), built(images, torch.arange(4) % 3 + 1))
    with pytest.raises(UserError):
        built(images)
    with pytest.raises(UserError):
        build(network)(images, torch.arange(4))
    with pytest.raises(UserError, match="image"):
        network(image=(0, 8, 8))


@pytest.mark.parametrize("network", [DcganDiscriminator, ResidualDiscriminator])
def test_spectral_norm_bounds_what_a_layer_does(network):
    """Miyato et al. 2018: after some power iterations the largest singular value of each weight is 1 (oracle: SVD)."""
    built = build(network, norm="spectral", num_classes=3)
    for _ in range(300):
        built(images_for(built), torch.tensor([0, 1, 2, 0]))
    values = [
        torch.linalg.svdvals(module.weight.detach().flatten(1)).max().item()
        for module in built.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)
    ]
    assert len(values) >= 3
    assert values == pytest.approx([1.0] * len(values), abs=2e-2)


@pytest.mark.parametrize(("network", "norm"), [(DcganDiscriminator, "none"), (ResidualDiscriminator, "none")])
def test_without_batch_norm_an_image_is_scored_by_itself_in_training_too(network, norm):
    """Gulrajani et al. 2017, section 4: else a gradient penalty is none of each image."""
    built = build(network, norm=norm).train()
    images = images_for(built)
    assert_close(built(images)[:2], built(images[:2]))


def test_dcgan_is_the_published_one():
    """Oracle: torch's DCGAN example (Radford et al. 2016): 3,576,704 and 2,765,568; here biases at the very ends too.

    It starts and ends the same: 4 x 4 x 512 of 100 numbers, and four doublings.
    """
    generator = DcganGenerator((3, 64, 64), num_latents=100, width=64)
    assert count(generator) == 3_576_704 + 3
    assert count(DcganDiscriminator((3, 64, 64), width=64)) == 2_765_568 + 64 + 1
    assert generator.start(torch.zeros(2, 100)).shape == (2, 512, 4, 4)


def test_the_residual_pair_is_that_of_sngan():
    """Oracle: Miyato et al. 2018, table 4, counted by hand; a bias before a batch norm is left out."""
    block = 2 * 9 * 256**2 + 256**2 + 2 * 256 + 4 * 256
    expected = 128 * 4096 + 4096 + 3 * block + 512 + 9 * 256 * 3 + 3
    assert count(ResidualGenerator((3, 32, 32), num_latents=128, width=256)) == expected
    flat, first = 2 * (9 * 128**2 + 128), 9 * 3 * 128 + 128 + 9 * 128**2 + 128 + 3 * 128 + 128
    critic = ResidualDiscriminator((3, 32, 32), width=128)
    assert count(critic) == first + flat + 128**2 + 128 + 2 * flat + 129
    assert critic.blocks(critic.first(torch.zeros(1, 3, 32, 32))).shape == (1, 128, 8, 8)


@pytest.mark.parametrize(("image", "start"), [((1, 8, 8), 4), ((3, 28, 28), 7), ((1, 24, 24), 3), ((1, 6, 6), 3)])
def test_generators_start_at_four_pixels_or_fewer(image, start):
    """Or where a side is odd; images come out as large as they should."""
    for network in (DcganGenerator, ResidualGenerator):
        built = build(network, image=image, width=8).eval()
        assert built.start(torch.zeros(2, 64)).shape[-1] == start
        assert built.decode(torch.zeros(2, 64)).shape == (2, *image)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (DcganGenerator, {"image": (1, 7, 7)}, "odd side"),
        (DcganGenerator, {"num_doublings": 4}, "num_doublings .* 1 to 3"),
        (DcganGenerator, {"num_latents": 0}, "num_latents"),
        (DcganDiscriminator, {"norm": "layer"}, "norm is layer; allowed: batch, spectral, none"),
        (ResidualDiscriminator, {"norm": "batch"}, "norm is batch; allowed: none, layer, spectral"),
        (ResidualDiscriminator, {"num_flat": -1}, "num_flat"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(network, options, message):
    with pytest.raises(UserError, match=message):
        network(**options)


def test_pix2pix_is_the_published_one():
    """Oracle: its authors' program prints 54.414 M (256 pixels) and 2.769 M for the pair of Isola et al. 2017.

    And 2.765 M for the discriminator of CycleGAN, whose scores see 70 x 70 pixels: no other pixel has a gradient.
    """
    assert count(UNetTranslator((3, 256, 256), source_channels=3)) == pytest.approx(54.414e6, abs=500)
    assert count(PatchDiscriminator((6, 256, 256), num_halvings=3)) == pytest.approx(2.769e6, abs=500)
    judge = PatchDiscriminator((3, 256, 256), num_halvings=3, norm="instance")
    assert count(judge) == pytest.approx(2.765e6, abs=500)
    seen = PatchDiscriminator((1, 128, 128), width=2, num_halvings=3).eval()
    images = torch.rand(1, 1, 128, 128, requires_grad=True)
    seen(images)[0, 7, 7].backward()
    rows = images.grad[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_the_noise_of_a_translator_is_dropout_by_draws_of_each_image():
    """Isola et al. 2017, section 3.2: in evaluation too; the same draws the same image, none: no noise."""
    built = build(UNetTranslator, width=8).eval()
    source = torch.rand(1, 1, 32, 32).expand(3, -1, -1, -1)
    with torch.no_grad():
        first, again = (built(source, OwnDraws.of_indices(torch.tensor([0, 1, 0]))) for _ in range(2))
        assert torch.equal(first, again)
        assert_close(first[0], first[2])
        assert not torch.allclose(first[0], first[1])
        assert_close(built(source)[0], built(source)[1])
        alone = built(source[:1], OwnDraws.of_indices(torch.tensor([1])))
    assert_close(alone[0], first[1])
    assert first.shape == (3, 3, 32, 32)
    assert (first >= 0).all()
    assert (first <= 1).all()


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (UNetTranslator, {"dropout": 1.0}, "dropout is 1.0"),
        (UNetTranslator, {"num_halvings": 1}, "num_halvings is 1; allowed: 2 or more"),
        (UNetTranslator, {"num_halvings": 9}, "num_halvings .* 1 to 5"),
        (PatchDiscriminator, {"num_halvings": 4}, "leave 3 pixels"),
        (PatchDiscriminator, {"norm": "none"}, "norm is none; allowed: batch, instance"),
    ],
)
def test_a_translator_that_cannot_be_is_one_line(network, options, message):
    with pytest.raises(UserError, match=message):
        network(**options)
