"""NADE is the distribution of its paper, one value at a time, and is sampled without a full pass for each."""

import itertools
import math

import numpy as np
import pytest
import torch

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Nade
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.ops.levels import from_levels
from tests.tolerances import assert_close


def randomized(**options) -> Nade:
    torch.manual_seed(0)
    network = Nade(**options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network


def paper_log_prob(network: Nade, image: np.ndarray, levels: int, label: int | None = None) -> float:
    """Algorithm 1 of Uria et al. 2016 in float64: a running activation `a`, from pixel to pixel and channel to channel.

    Args:
        image: (C, H, W) of levels.
    """
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    x = image.transpose(1, 2, 0).ravel()
    a = weights["bias"].copy()
    if label is not None:
        a += weights["classes.table.weight"][label]
    total = 0.0
    for d, value in enumerate(x):
        h = 1 / (1 + np.exp(-a))
        logits = weights["head_weight"][d] @ h + weights["head_bias"][d]
        total += logits[value] - np.log(np.exp(logits).sum())
        if d + 1 < len(x):
            a += weights["weight"][d] * (value / (levels - 1))
    return total


@pytest.mark.parametrize(("image", "levels"), [((1, 3, 4), 2), ((3, 2, 2), 5)])
def test_the_density_is_that_of_the_algorithm_of_the_paper(image, levels):
    """row 233: log p of a loop over values in NumPy, for binary grey and for coloured images of five levels."""
    network = randomized(image=image, levels=levels, width=7)
    values = torch.randint(levels, (6, *image), generator=torch.Generator().manual_seed(1))
    expected = [paper_log_prob(network, one.numpy(), levels) for one in values]
    assert_close(network.log_prob(from_levels(values, levels)), torch.tensor(expected))


def test_a_class_adds_to_the_activation_before_the_first_value():
    """rows 231, 233: the same loop, started from the vector of the class."""
    network = randomized(image=(1, 2, 3), levels=3, width=5, num_classes=4)
    values = torch.randint(3, (4, 1, 2, 3), generator=torch.Generator().manual_seed(1))
    expected = [paper_log_prob(network, one.numpy(), 3, label) for label, one in enumerate(values)]
    assert_close(network.log_prob(from_levels(values, 3), torch.arange(4)), torch.tensor(expected))


def test_probabilities_of_all_images_sum_to_one():
    """row 233: over the 729 images of 2 x 3 pixels with three levels."""
    network = randomized(image=(1, 2, 3), levels=3, width=5)
    images = torch.tensor(list(itertools.product((0.0, 0.5, 1.0), repeat=6))).view(-1, 1, 2, 3)
    assert network.log_prob(images).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_no_score_depends_on_its_own_value_or_a_later_one():
    """row 233: the Jacobian of scores by values, taken by changing each in turn, is strictly triangular and full."""
    network = randomized(image=(3, 2, 2), levels=4, width=9).double()
    values = torch.zeros(1, 3, 2, 2, dtype=torch.int64)
    order = [(channel, row, column) for row in range(2) for column in range(2) for channel in range(3)]
    before = network.scores(values)
    sees = torch.zeros(12, 12, dtype=torch.bool)
    for source, place in enumerate(order):
        changed = values.clone()
        changed[(0, *place)] = 3
        moved = (network.scores(changed) != before).any(1)[0]
        sees[:, source] = torch.stack([moved[target] for target in order])
    assert torch.equal(sees, torch.ones(12, 12, dtype=torch.bool).tril(-1))


def test_training_starts_without_knowledge():
    """row 233: log2 of the number of levels bits a value, exactly 8 for 256."""
    network = Nade((3, 4, 4), levels=256, width=8)
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    bits = -network.log_prob(images) / (48 * math.log(2))
    assert_close(bits, torch.full((2,), 8.0))


@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_growing_sum_draws_what_full_passes_draw(num_classes):
    """rows 233, 242: the same values from the same uniform numbers."""
    network = randomized(image=(3, 3, 2), levels=5, width=11, num_classes=num_classes)
    uniform = OwnDraws.of_indices(torch.arange(20)).uniform(3, 3, 2)
    labels = None if num_classes is None else torch.arange(20) % 3
    drawn = network.draw_values(uniform, labels)
    assert torch.equal(drawn, network.draw_by_full_passes(uniform, labels))
    assert len(drawn.flatten(1).unique(dim=0)) == 20


def test_samples_are_as_frequent_as_they_are_likely():
    """rows 233, 242: 20,000 images of 2 x 2 binary pixels against the 16 probabilities."""
    network = randomized(image=(1, 2, 2), levels=2, width=4)
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).view(-1, 1, 2, 2)
    expected = network.log_prob(images).exp()
    drawn = network.sample(OwnDraws.of_indices(torch.arange(20_000))).flatten(1) @ torch.tensor([8.0, 4, 2, 1])
    frequency = torch.bincount(drawn.long(), minlength=16) / 20_000
    assert (frequency - expected).abs().sum() < 0.03


def test_a_single_value_is_an_image_too():
    """row 233: nothing is before it, so that only its bias speaks and its head."""
    network = randomized(image=(1, 1, 1), levels=3, width=4)
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    assert network.log_prob(images).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_a_layer_without_units_is_refused():
    with pytest.raises(UserError, match="width"):
        Nade(width=0)
