"""StyleGAN: its published sizes, what a style does to a channel, what noise does, and what is fixed."""

import pytest
import torch
from torch import Tensor, nn

from lightning_cv.contracts import DecodesLatents, MapsLatents
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.adaptive_norm import AdaIn
from lightning_cv.networks.blocks.equalized import EqualizedConv2d, EqualizedLinear, unit_length
from lightning_cv.networks.generate import StyleDiscriminator, StyleGenerator
from lightning_cv.networks.generate.directions import principal_directions, weight_directions
from lightning_cv.ops.draws import OwnDraws
from tests.tolerances import assert_close


def draws(*indices: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.tensor(indices), seed=seed)


def generator(strength: float = 0.5, **options) -> StyleGenerator:
    torch.manual_seed(0)
    built = StyleGenerator(width=16, **options)
    for layer in built.layers:
        nn.init.constant_(layer.strength, strength)
    return built.eval()


def test_the_pair_is_the_published_one():
    """row 250: oracle, the sizes that the published code prints at 1024 px: 26,219,627 and 23,087,249.

    They count the layers to and from RGB of the smaller sizes, which grow away, and of the discriminator the 3 x 3
    weights of the channel of the batch's deviation.
    """
    with torch.device("meta"):
        painter = StyleGenerator((3, 1024, 1024), num_latents=512, style_width=512, width=512)
        critic = StyleDiscriminator((3, 1024, 1024), width=512)
    smaller = [512, 512, 512, 512, 256, 128, 64, 32]  # channels at 4 to 512 px
    to_rgb, from_rgb = sum(3 * width + 3 for width in smaller), sum(4 * width for width in [*smaller[:-1], 32])
    assert sum(p.numel() for p in painter.parameters()) + to_rgb == 26_219_627
    assert sum(p.numel() for p in critic.parameters()) + from_rgb + 9 * 512 == 23_087_249
    assert len(painter.layers) == 18


def test_a_style_sets_the_mean_and_the_deviation_of_each_channel():
    """row 250: whatever the features were: measured over the places of each channel."""
    torch.manual_seed(0)
    norm = AdaIn(5, 8)
    styles, features = torch.randn(3, 8), 7 + 4 * torch.randn(3, 5, 16, 16)
    with torch.no_grad():
        std, mean = norm.style(styles).chunk(2, 1)
        styled = norm(features, styles)
    assert_close(styled.mean((2, 3)), mean)
    assert_close(styled.std((2, 3), correction=0), std.abs())


def test_without_noise_an_image_is_one_of_its_style_alone():
    """row 250: decode gives the same image again, whatever was drawn; with noise there are others of one style."""
    built = generator()
    latents = draws(0, 1).normal(64)
    first = built.decode(latents)
    torch.manual_seed(5)
    assert torch.equal(first, built.decode(latents))
    noisy = [built.sample(draws(0, 1)), built.sample(draws(0, 1, seed=1))]
    assert torch.equal(noisy[0], built.sample(draws(0, 1)))
    assert not torch.equal(noisy[0], noisy[1])
    silent = generator(strength=0.0)
    assert_close(first, silent.decode(latents))
    assert_close(silent.sample(draws(0, 1)), silent.decode(draws(0, 1).normal(64)))


def test_noise_is_one_number_a_place_and_its_own_in_each_layer():
    """row 250: the first layer of two images of one style differs by one map, times the strength of the channel."""
    built = generator()
    layer = built.layers[0]
    seen: list[Tensor] = []
    layer.style.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    layer.bias.data.fill_(100.0)  # a leaky ReLU is the identity there
    layer.strength.data[0, 3] = 2.0
    built.sample(draws(0, 1))
    added = seen[0] - 100 - built.constant
    torch.testing.assert_close(added[:, 3], 4 * added[:, 2], rtol=0, atol=1e-3)
    assert added[:, 2].std().item() == pytest.approx(0.5, rel=0.5)
    assert not torch.equal(added[0], added[1])


def test_the_constant_is_one_and_learns():
    """row 250: all images grow out of the same learned values, which a gradient reaches."""
    built = generator()
    assert built.constant.shape == (1, 16, 4, 4)
    (built.make(draws(0, 1, 2)) * torch.rand(3, 1, 8, 8)).sum().backward()
    assert built.constant.grad is not None
    assert built.constant.grad.any()


def test_truncation_brings_styles_nearer_to_the_mean_in_evaluation_alone():
    """row 250: by exactly its share; at 0 all images are one, and in training nothing is cut."""
    whole, half, none = (generator(truncation=share) for share in (1.0, 0.5, 0.0))
    latents = draws(0, 1, 2).normal(64)
    styles, center = whole.map_latents(latents), none.map_latents(latents)
    assert_close(center[0], center[2])
    assert_close(half.map_latents(latents), (styles + center) / 2)
    others = whole.map_latents(OwnDraws.of_indices(torch.arange(4000), seed=9).normal(64))
    assert ((center[0] - others.mean(0)).abs() < 6 * others.std(0) / 1000**0.5).all()
    assert_close(none.train().map_latents(latents), styles)


def test_an_image_is_decoded_by_its_style():
    """rows 251, 252: what is mapped decodes to the same, and directions are those of styles."""
    built = generator(num_classes=3)
    assert isinstance(built, MapsLatents)
    assert isinstance(built, DecodesLatents)
    latents, labels = draws(0, 1).normal(64), torch.tensor([0, 2])
    assert torch.equal(built.decode_mapped(built.map_latents(latents, labels)), built.decode(latents, labels))
    many, label = OwnDraws.of_indices(torch.arange(200)), torch.tensor([1])
    for find in (weight_directions, principal_directions):
        found = find(built, many, count=4, label=label)
        assert_close(found.vectors @ found.vectors.T, torch.eye(4))
    stacked = torch.cat([layer.style.style.weight for layer in built.layers])
    top = torch.linalg.svd(stacked.detach()).Vh[0]
    assert abs(float(top @ weight_directions(built, many, count=1, label=label).vectors[0])) > 0.9999


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalized_layers_start_as_he_says_and_learn_at_one_rate(rate):
    """row 250: deviation root of 2 / inputs in use; a step of Adam changes outputs alike, whatever the inputs' number.

    Oracle: He's deviation, and that Adam's first step has the size of the rate for each weight.
    """
    torch.manual_seed(0)
    for layer, inputs in ((EqualizedLinear(400, 300, rate=rate, bias=0.5), 400), (EqualizedConv2d(40, 300, 3), 360)):
        used = layer.weight * layer.scale
        assert used.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.02)
    linear = EqualizedLinear(400, 300, rate=rate, bias=0.5)
    assert_close(linear(torch.zeros(1, 400)), torch.full((1, 300), 0.5))
    before = (linear.weight * linear.scale).detach()
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-3)
    linear(torch.ones(1, 400)).sum().backward()
    optimizer.step()
    moved = before - (linear.weight * linear.scale).detach()
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3 * rate * (2 / 400) ** 0.5), rtol=1e-2, atol=1e-7)


def test_latent_vectors_have_one_length():
    assert_close(
        unit_length(torch.tensor([[3.0, 4.0], [0.3, 0.4]])), torch.tensor([[3.0, 4.0], [3.0, 4.0]]) / 12.5**0.5
    )


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 28, 28), (1, 16, 24), (2, 5, 7)])
def test_images_have_any_size_that_doubles(image):
    built, critic = StyleGenerator(image, width=4), StyleDiscriminator(image, width=4)
    made = built.make(draws(0, 1))
    assert made.shape == (2, *image)
    assert critic(made).shape == (2,)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (StyleGenerator, {"image": (1, 3, 8)}, "a height and a width that are 4 or more"),
        (StyleDiscriminator, {"image": (1, 18, 17)}, "multiples of 4"),
        (StyleGenerator, {"truncation": 1.5}, "truncation is 1.5; allowed: 0 to 1"),
        (StyleGenerator, {"mapping_layers": 0}, "mapping_layers is 0"),
        (StyleDiscriminator, {"width": 0}, "width is 0"),
    ],
)
def test_a_mistake_is_one_line(network, options, message):
    with pytest.raises(UserError, match=message):
        network(**options)
