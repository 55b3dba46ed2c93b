"""Panoptic networks keep the contract, and give every pixel at most one segment."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Pixels
from lightning_cv.errors import UserError
from lightning_cv.networks.segment import PanopticFpn, Pyramid
from lightning_cv.networks.segment.panoptic_base import BatchPanoptic
from lightning_cv.ops.panoptic import panoptic_of
from tests.networks.test_contract import own_networks
from tests.tolerances import assert_close

CLASSES, THINGS = 5, ((2, 4),)
SMALL = {
    "anchor_sizes": (8, 16, 24, 32),
    "mask_layers": (8,),
    "head_width": 16,
    "proposals": (20, 10),
    "regions_trained": 8,
    "stuff_width": 8,
    "least_stuff_px": 1,
    "score_threshold": 0.05,
}
MAKERS = {
    "PanopticFpn": lambda: PanopticFpn(CLASSES, THINGS, Pyramid("small", channels=16, extra="none"), **SMALL),
}


def truth_of(seed: int, size: tuple[int, int]) -> Pixels:
    """Two kinds of stuff, two things, something unknown and a crowd."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.zeros(size, dtype=torch.int16)
    classes[:, size[1] // 2 :] = 4
    segments = classes.int()
    for number in range(2):
        top, left = (torch.rand(2, generator=generator) * torch.tensor([size[0] - 20, size[1] - 24])).long().tolist()
        place = slice(top, top + 18), slice(left, left + 20)
        classes[place], segments[place] = 2 + number, 10 + number
    classes[:4, :4], segments[:4, :4] = IGNORED, VOID
    classes[-5:, -9:], segments[-5:, -9:] = 2, CROWD_SEGMENT
    return Pixels(classes, segments)


def batch_of(sizes: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor, list[Pixels]]:
    """Images padded to the largest with what no network may look at, and their truth."""
    truth = [truth_of(seed, size) for seed, size in enumerate(sizes)]
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    images = torch.full((len(sizes), 3, height, width), 1e3)
    generator = torch.Generator().manual_seed(7)
    for image, (h, w), each in zip(images, sizes, truth, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w, generator=generator) * 0.3 + each.classes.clamp(min=0) * 0.5
    return images, torch.tensor(sizes), truth


@pytest.fixture(params=MAKERS)
def network(request) -> nn.Module:
    torch.manual_seed(0)
    return MAKERS[request.param]()


def test_every_panoptic_network_is_tested():
    found = {cls.__name__ for cls in own_networks("segment") if issubclass(cls, BatchPanoptic)}
    assert found == MAKERS.keys()


def test_every_parameter_trains(network):
    """row 223: all losses are finite, and after one backward every parameter has a gradient."""
    images, sizes, truth = batch_of([(64, 64), (64, 64)])
    losses = network.train()(images, sizes, truth).losses
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not without


def test_each_pixel_has_at_most_one_segment_of_one_class(network):
    """row 223: segments are a map, each of a class; things are things; and as large as the image."""
    images, sizes, _ = batch_of([(64, 64), (50, 70)])
    found = network.eval()(images, sizes).found
    for each, size in zip(found, sizes.tolist(), strict=True):
        assert list(each.segments.shape) == size
        used = each.segments[each.segments != VOID].unique()
        assert used.tolist() == list(range(len(each.labels)))
        assert each.is_thing.tolist() == [network.things[label] for label in each.labels.tolist()]


def test_what_is_said_of_an_image_depends_on_no_other(network):
    """Images of other sizes in the batch, and their padding, change neither segments nor losses."""
    images, sizes, truth = batch_of([(64, 64), (50, 70), (96, 33)])
    network.eval()
    with torch.no_grad():
        together = network(images, sizes, truth)
        alone = [
            network(images[n : n + 1, :, :h, :w], sizes[n : n + 1], truth[n : n + 1])
            for n, (h, w) in enumerate(sizes.tolist())
        ]
    for whole, own in zip(together.found, alone, strict=True):
        assert torch.equal(whole.labels, own.found[0].labels)
        assert torch.equal(whole.segments, own.found[0].segments)
    for name, value in together.losses.items():
        assert_close(value, torch.stack([own.losses[name] for own in alone]).mean())


def test_scoring_draws_nothing(network):
    """The generators are left as they were, and losses repeat."""
    images, sizes, truth = batch_of([(64, 64)])
    network.eval()
    before = torch.get_rng_state()
    first, again = (network(images, sizes, truth).losses for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_an_image_without_things_trains(network):
    truth = Pixels(torch.zeros(64, 64, dtype=torch.int16), torch.zeros(64, 64, dtype=torch.int32))
    losses = network.train()(torch.randn(2, 3, 64, 64), None, [truth, truth]).losses
    assert all(value.isfinite() for value in losses.values())


def test_stuff_is_learned_from_the_pixels_that_are_known():
    """All things are one class beside the stuff; what nobody knows counts nothing."""
    network = MAKERS["PanopticFpn"]()
    truth = truth_of(0, (64, 64))
    stuff = network._stuff_of(truth)
    assert (stuff[truth.classes == 0] == 0).all()
    assert (stuff[truth.classes == 1] == 1).all()
    assert (stuff[truth.classes == 4] == 2).all()
    assert (stuff[(truth.classes == 2) | (truth.classes == 3)] == 3).all()
    assert (stuff[truth.classes == IGNORED] == IGNORED).all()


def test_things_are_labelled_among_themselves_and_crowds_are_not_trained_on():
    network = MAKERS["PanopticFpn"]()
    truth = truth_of(0, (64, 64))
    objects = network._objects(truth)
    named = panoptic_of(truth, network.things)
    assert sorted(objects.labels.tolist()) == sorted(n - 2 for n in named.labels.tolist() if network.things[n])
    assert not objects.crowd.any()


@pytest.mark.parametrize("things", [((0, 5),), ((3, 3),), ((2, 9),), ((-1, 2),)])
def test_wrong_things_are_refused(things):
    with pytest.raises(UserError, match="things"):
        PanopticFpn(CLASSES, things, Pyramid("small", channels=16, extra="none"), **SMALL)
