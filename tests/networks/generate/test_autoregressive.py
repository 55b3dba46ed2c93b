"""Every network that factorizes p(x), found by walking the package, is a distribution and looks at nothing ahead."""

import itertools
import math

import pytest
import torch

from lightning_cv.networks.generate import Autoregressive
from tests.networks.generate.test_contract import NETWORKS, build
from tests.tolerances import assert_close

FACTORIZED = [network for network in NETWORKS if issubclass(network, Autoregressive)]
each_network = pytest.mark.parametrize("network", FACTORIZED, ids=lambda n: n.__name__)
# Networks that by their definition do not see all values before one, with the paper that says so.
BLIND: dict[str, str] = {}


def places(image: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """All (channel, row, column) in the order of the factorization."""
    channels, height, width = image
    return [(c, y, x) for y, x, c in itertools.product(range(height), range(width), range(channels))]


def dependence(network: Autoregressive) -> torch.Tensor:
    """(D, D) bool: whether the scores of value i change with value j, by changing it in two images."""
    order, drawn = places(network.image), torch.Generator().manual_seed(2)
    found = torch.zeros(len(order), len(order), dtype=torch.bool)
    for _ in range(2):  # a unit that is silent in one image may speak in another
        values = torch.randint(network.levels, (1, *network.image), generator=drawn)
        with torch.no_grad():
            before = network.scores(values)
            for j, place in enumerate(order):
                changed = values.clone()
                changed[(0, *place)] = (changed[(0, *place)] + network.levels // 2) % network.levels
                differs = (network.scores(changed) != before)[0].any(0)  # one image a pass: the same rounding
                found[:, j] |= torch.stack([differs[own] for own in order])
    return found


def test_there_are_networks():
    """A suite that finds nothing fails."""
    assert {"Made", "PixelCnn", "PixelTransformer"} <= {network.__name__ for network in FACTORIZED}


@each_network
@pytest.mark.parametrize("num_classes", [None, 2], ids=["plain", "of a class"])
def test_probabilities_of_all_images_sum_to_one(network, num_classes):
    """rows 232, 233, 234, 235: over all 512 binary 3x3 images, and so for each class."""
    built = build(network, image=(1, 3, 3), levels=2, num_classes=num_classes).eval()
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=9))).view(512, 1, 3, 3)
    for label in range(num_classes or 1):
        labels = None if num_classes is None else torch.full((512,), label)
        with torch.no_grad():
            log_p = built.log_prob(images, labels).double()
        assert torch.logsumexp(log_p, 0).exp().item() == pytest.approx(1, abs=1e-4)
        assert log_p.std() > 1e-3  # it is not the uniform distribution that sums to 1


@each_network
@pytest.mark.parametrize("image", [(1, 4, 4), (2, 3, 3)], ids=["gray", "colors"])
def test_scores_see_the_values_before_and_none_else(network, image):
    """rows 232, 233, 234, 235: what value i is scored changes with each value before it, and with none from i on."""
    built = build(network, image=image, levels=5).eval()
    seen = dependence(built)
    ahead = torch.ones_like(seen).triu()
    assert not (seen & ahead.bool()).any()
    if network.__name__ not in BLIND:
        assert (seen | ahead.bool()).all()


def test_a_stack_of_masked_convolutions_has_a_blind_spot():
    """row 235: 7x7 and 3x3 masks, the PixelCNN before there were two stacks, miss pixels; the test above sees such."""

    def masked(size: int, strict: bool) -> torch.nn.Conv2d:
        convolution = torch.nn.Conv2d(1, 1, size, padding=size // 2, bias=False)
        torch.nn.init.ones_(convolution.weight)
        middle = size // 2
        with torch.no_grad():
            convolution.weight[..., middle, middle + (not strict) :] = 0
            convolution.weight[..., middle + 1 :, :] = 0
        return convolution

    stack = torch.nn.Sequential(masked(7, True), *[masked(3, False) for _ in range(2)])
    image = torch.ones(1, 1, 9, 9, requires_grad=True)
    stack(image)[0, 0, 5, 2].backward()
    seen = image.grad[0, 0] != 0
    assert not seen[5, 2:].any()
    assert not seen[6:].any()
    assert not seen[4, 8]  # of the row above, too far right
    assert seen[4, 2]


@each_network
def test_at_the_start_each_of_256_values_is_as_likely(network):
    """rows 234, 235: bits per dimension are log2(256) = 8.00 +- 1e-3 before training."""
    torch.manual_seed(0)
    built = network(image=(3, 4, 4), levels=256).eval()
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    bits = -built.log_prob(images) / (48 * math.log(2))
    torch.testing.assert_close(bits, torch.full((2,), 8.0), rtol=0, atol=1e-3)


@each_network
@pytest.mark.parametrize("num_classes", [None, 3], ids=["plain", "of a class"])
@pytest.mark.parametrize("image", [(1, 5, 4), (3, 3, 4)], ids=["gray", "colors"])
def test_drawing_gives_what_full_passes_give(network, image, num_classes):
    """row 232: value by value, `draw_values` picks what the scores of the whole image say."""
    built = build(network, image=image, levels=6, num_classes=num_classes).eval()
    uniform = torch.rand(3, *image, generator=torch.Generator().manual_seed(4))
    labels = None if num_classes is None else torch.tensor([2, 0, 1])
    drawn = built.draw_values(uniform, labels)
    assert torch.equal(drawn, built.draw_by_full_passes(uniform, labels))
    assert len(drawn.unique()) > 3


@each_network
def test_samples_are_as_frequent_as_their_probability(network):
    """row 232: of 4,000 images of two binary pixels, each of the four is drawn as often as `log_prob` says."""
    built = build(network, image=(1, 1, 2), levels=2).eval()
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2))).view(4, 1, 1, 2)
    uniform = torch.rand(4000, 1, 1, 2, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        p = built.log_prob(images).exp()
        drawn = built.draw_values(uniform).flatten(1)
    counts = torch.bincount(2 * drawn[:, 0] + drawn[:, 1], minlength=4)
    deviation = (4000 * p * (1 - p)).sqrt()
    assert ((counts - 4000 * p).abs() < 4 * deviation).all()


def test_scores_of_a_batch_are_those_of_each_image():
    """row 232: the sum of log p over values, taken by hand from the scores, is `log_prob_of_values`."""
    for network in FACTORIZED:
        built = build(network, image=(2, 3, 3), levels=4).eval()
        values = torch.randint(4, (3, 2, 3, 3), generator=torch.Generator().manual_seed(6))
        with torch.no_grad():
            log_p = built.scores(values).log_softmax(1).gather(1, values[:, None]).sum((1, 2, 3, 4))
            assert_close(built.log_prob_of_values(values), log_p)
