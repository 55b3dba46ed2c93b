"""Detectors that say a whole set at once do not care for the order of the objects."""

from itertools import permutations

import pytest
import torch
from torchvision.ops import box_convert, generalized_box_iou

from lightning_cv.contracts import Objects
from lightning_cv.networks.detect import Detr, DiffusionDet
from tests.networks.detect.inputs import DETECTORS, batch_of


def permuted(objects: Objects) -> Objects:
    return objects.select(torch.randperm(len(objects), generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("name", ["Detr", "DiffusionDet"])
def test_the_loss_is_unchanged_by_the_order_of_the_objects(name):
    """row 197: matching is what makes it so. (Noisy boxes are drawn in order: their own objects keep their places.)"""
    torch.manual_seed(0)
    network = DETECTORS[name]().eval()
    images, sizes, objects = batch_of([(64, 64)] * 2, [4, 3])
    with torch.no_grad():
        if isinstance(network, Detr):
            said = network(images, sizes, objects).losses
            again = network(images, sizes, [permuted(each) for each in objects]).losses
        else:
            said, again = (diffusion_losses(network, objects[0], order) for order in (False, True))
    for loss, value in said.items():
        assert again[loss].item() == pytest.approx(value.item(), rel=1e-5)


def diffusion_losses(network: DiffusionDet, objects: Objects, shuffled: bool) -> dict[str, torch.Tensor]:
    from lightning_cv.networks.detect.diffusion_det import _set_losses

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(8, network.num_classes, generator=generator)
    corners = torch.rand(8, 2, 2, generator=generator).sort(1).values.flatten(1) * 64
    return _set_losses(logits, corners, permuted(objects) if shuffled else objects, (64, 64))


def test_detr_pairs_queries_with_objects_as_brute_force_does():
    """row 197: the smallest sum of class, L1 and overlap costs (weights 1, 5, 2) over all ways to choose 4 of 6."""
    torch.manual_seed(1)
    network = Detr(3, stride=16, queries=6, layers=1, width=32, heads=4, hidden_width=32, dropout=0.0).eval()
    _, _, objects = batch_of([(64, 64)], [4])
    logits, boxes = torch.randn(1, 6, 4), torch.rand(1, 6, 4) * 0.5 + 0.2
    wanted = box_convert(objects[0].boxes / 64, "xyxy", "cxcywh")
    targets = [{"class_labels": objects[0].labels, "boxes": wanted}]
    losses = network._set_losses(logits, boxes, targets)
    sure = logits[0].softmax(-1)[:, objects[0].labels]
    far = torch.cdist(boxes[0], wanted, p=1)
    giou = generalized_box_iou(box_convert(boxes[0], "cxcywh", "xyxy"), objects[0].boxes / 64)
    cost = -sure + 5 * far - 2 * giou
    numbers = range(4)
    best = min(permutations(range(6), 4), key=lambda chosen: sum(cost[q, n].item() for n, q in enumerate(chosen)))
    l1 = sum(far[q, n].item() for n, q in zip(numbers, best, strict=True)) / 4
    overlap = sum(1 - giou[q, n].item() for n, q in zip(numbers, best, strict=True)) / 4
    assert losses["loss_bbox"].item() == pytest.approx(5 * l1, rel=1e-5)
    assert losses["loss_giou"].item() == pytest.approx(2 * overlap, rel=1e-5)
    labels = torch.full((6,), 3)
    labels[list(best)] = objects[0].labels
    weight = torch.tensor([1.0, 1, 1, 0.1])
    expected = torch.nn.functional.cross_entropy(logits[0], labels, weight)
    assert losses["loss_ce"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_unmatched_queries_say_no_object():
    """row 196: a network whose queries all say "no object" finds nothing that is sure, whatever the boxes."""
    network = DETECTORS["Detr"]().eval()
    head = network.model.class_labels_classifier
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 0, 0, 9]))
        images, sizes, _ = batch_of([(64, 64)], [2])
        assert network(images, sizes).detections[0].scores.max() < 1e-3


def test_boxes_are_denoised_the_same_way_each_time():
    """row 198: the draws of scoring come from a generator of their own, equal for every image and call."""
    network = DETECTORS["DiffusionDet"]().eval()
    images, sizes, _ = batch_of([(64, 64)], [2])
    with torch.no_grad():
        first = network(images, sizes).detections[0]
        torch.manual_seed(99)
        again = network(images, sizes).detections[0]
    assert torch.equal(first.boxes, again.boxes)
