"""Instances, classes of pixels, and both in one picture."""

import pytest
import torch
from torchmetrics.detection import PanopticQuality

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Panoptic, Pixels, Stage
from lightning_cv.data import Scenes
from lightning_cv.ops.panoptic import (
    instances_of_semantic,
    merge,
    objects_of,
    panoptic_of,
    resized,
    semantic_of_instances,
)

GROUND = 10  # a class of stuff beside the ten digits


def scene(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    _, objects = Scenes(num_train=8, empty=0.0, max_objects=5, masks=True).load(Stage.TRAIN)[index]
    return objects.masks.bool(), objects.labels


@pytest.mark.parametrize("index", range(6))
def test_the_union_of_instances_is_the_region_of_things(index):
    """row 222: and each pixel has the class of an instance that lies on it."""
    masks, labels = scene(index)
    classes = semantic_of_instances(masks, labels, other=GROUND)
    assert torch.equal(classes != GROUND, masks.any(0))
    for mask, label in zip(masks, labels, strict=True):
        assert (classes[mask] == label).any()


def test_semantic_output_separates_only_what_does_not_touch():
    """row 222: two squares apart are two instances, two that touch are one, and a diagonal does not join."""
    classes = torch.zeros(8, 12, dtype=torch.int64)
    classes[1:3, 1:3] = classes[1:3, 5:7] = classes[1:3, 7:9] = classes[3:5, 3:5] = 4
    found = instances_of_semantic(classes, 4)
    assert sorted(found.sum((1, 2)).tolist()) == [4, 4, 8]
    assert torch.equal(found.any(0), classes == 4)
    assert len(instances_of_semantic(classes, 9)) == 0


@pytest.mark.parametrize("index", range(6))
def test_every_pixel_belongs_to_exactly_one_segment(index):
    """row 223: things and stuff together cover the scene, and no two share a pixel."""
    masks, labels = scene(index)
    ground = torch.full(masks.shape[1:], GROUND)
    whole = merge(masks, labels, ground, stuff=torch.tensor([GROUND]))
    assert (whole.segments >= 0).all()
    counts = torch.bincount(whole.segments.flatten(), minlength=len(whole.labels))
    assert counts.sum() == masks[0].numel()
    assert (counts > 0).all()
    assert whole.is_thing.tolist() == [True] * len(masks) + [False]
    assert torch.equal(whole.classes, semantic_of_instances(masks, labels, other=GROUND))


def quality(found: Panoptic, there: Panoptic) -> torch.Tensor:
    """PQ, SQ and RQ of torchmetrics, mean over classes that occur."""
    metric = PanopticQuality(set(range(10)), {GROUND}, return_sq_and_rq=True, allow_unknown_preds_category=True)

    def pairs(panoptic: Panoptic) -> torch.Tensor:
        classes = torch.where(panoptic.segments == VOID, GROUND, panoptic.classes)
        return torch.stack([classes, panoptic.segments + 1], dim=-1)[None]

    return metric(pairs(found), pairs(there))


def test_panoptic_quality_is_1_on_itself_and_the_product_of_its_parts():
    """row 223: PQ = SQ x RQ, each 1 for the truth itself, and below where a thing is missed or moved."""
    masks, labels = scene(1)
    assert len(masks) >= 2
    ground = torch.full(masks.shape[1:], GROUND)
    stuff = torch.tensor([GROUND])
    there = merge(masks, labels, ground, stuff=stuff)
    assert quality(there, there).tolist() == pytest.approx([1, 1, 1])
    moved = merge(masks.roll(1, -1), labels, ground, stuff=stuff)
    pq, sq, rq = quality(moved, there).tolist()
    assert sq < 1
    assert pq < 1
    missed = merge(masks[1:], labels[1:], ground, stuff=stuff)
    assert quality(missed, there)[2] < 1
    one_class = torch.zeros_like(labels)
    pq, sq, rq = quality(
        merge(masks.roll(1, -1), one_class, ground, stuff=torch.tensor([])),
        merge(masks, one_class, ground, stuff=torch.tensor([])),
    ).tolist()
    assert pq == pytest.approx(sq * rq, rel=1e-4)


def test_an_instance_that_others_cover_goes():
    """row 223: less than half of it is left; what it had covered alone goes to the stuff."""
    masks = torch.zeros(2, 4, 8, dtype=torch.bool)
    masks[0, :, :5] = True
    masks[1, :, 2:7] = True
    classes = torch.full((4, 8), GROUND)
    found = merge(masks, torch.tensor([3, 5]), classes, stuff=torch.tensor([GROUND]), least_left=0.5)
    assert found.labels.tolist() == [3, GROUND]
    kept = merge(masks, torch.tensor([3, 5]), classes, stuff=torch.tensor([GROUND]), least_left=0.4)
    assert kept.labels.tolist() == [3, 5, GROUND]
    assert (kept.segments == 1).sum() == 4 * 2
    assert (
        merge(masks[:0], torch.tensor([], dtype=torch.int64), classes, stuff=torch.tensor([])).segments == VOID
    ).all()


def told(index: int) -> tuple[Pixels, tuple[bool, ...]]:
    split = Scenes(num_train=8, empty=0.0, max_objects=5, truth="panoptic").load(Stage.TRAIN)
    assert split.pixels.things is not None
    return split[index][1], split.pixels.things


@pytest.mark.parametrize("index", range(6))
def test_the_three_forms_become_each_other(index):
    """row 222: instances and semantic output of a panoptic truth, merged again, are the truth."""
    pixels, things = told(index)
    objects = objects_of(pixels, things)
    stuff = torch.tensor([label for label, is_thing in enumerate(things) if not is_thing])
    again = merge(objects.masks.bool(), objects.labels, pixels.classes.long(), stuff=stuff)
    assert torch.equal(again.classes, pixels.classes.long())
    ours, truth = panoptic_of(pixels, things), again
    assert len(ours.labels) == len(truth.labels)
    pairs = torch.stack([ours.segments, truth.segments]).flatten(1).unique(dim=1)
    assert pairs.shape[1] == len(ours.labels), "one segment each"
    assert torch.equal(objects.masks.bool().any(0), torch.tensor(things)[pixels.classes.long()])


def test_boxes_are_the_smallest_around_their_masks():
    pixels, things = told(0)
    objects = objects_of(pixels, things)
    for mask, box, area in zip(objects.masks, objects.boxes.tolist(), objects.areas.tolist(), strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        assert box == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert area == mask.sum()


def test_crowds_of_two_classes_are_two_objects_and_no_segment():
    classes = torch.tensor([[1, 1, 2, 2, 0, IGNORED]], dtype=torch.int16)
    segments = torch.tensor([[CROWD_SEGMENT] * 4 + [5, VOID]], dtype=torch.int32)
    pixels = Pixels(classes, segments)
    objects = objects_of(pixels, (False, True, True))
    assert sorted(objects.labels.tolist()) == [1, 2]
    assert objects.crowd.all()
    found = panoptic_of(pixels, (False, True, True))
    assert found.labels.tolist() == [0]
    assert found.segments.tolist() == [[VOID] * 4 + [0, VOID]]


def test_an_image_that_nobody_knows_has_nothing():
    nothing = Pixels(torch.full((3, 4), IGNORED, dtype=torch.int16), torch.full((3, 4), VOID, dtype=torch.int32))
    assert len(objects_of(nothing, (False, True))) == 0
    found = panoptic_of(nothing, (False, True))
    assert len(found.labels) == 0
    assert (found.classes == VOID).all()


def test_segments_are_enlarged_pixel_by_pixel():
    found = Panoptic(torch.tensor([[0, 1], [VOID, 1]]), torch.tensor([3, 4]), torch.tensor([False, True]))
    large = resized(found, (4, 6))
    expected = found.segments.repeat_interleave(2, 0).repeat_interleave(3, 1)
    assert torch.equal(large.segments, expected)
    assert resized(found, (2, 2)) is found
