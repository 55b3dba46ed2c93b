"""The scores of a set do not depend on how it was divided."""

import math

import pytest
import torch

import lightning_cv.metrics.detection.of_set as of_set
from lightning_cv.contracts import Detections, KeypointSet, Objects
from lightning_cv.metrics.detection import DetectionScores
from lightning_cv.ops.objects import no_objects

NAMES = ("a", "b", "c")
FOUR = KeypointSet(("n", "e", "s", "w"), (0, 3, 2, 1), ())


def images(count: int) -> list[tuple[Detections, tuple[int, Objects]]]:
    """Random objects, found nearly, with masks and keypoints; the second image has none."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(count):
        number = 0 if index == 1 else 3
        corner = (torch.rand(number, 2, generator=generator) * 20).round()
        boxes = torch.cat([corner, corner + 12 + 10 * torch.rand(number, 2, generator=generator).round()], 1)
        masks = torch.zeros(number, 48, 48, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        points = torch.cat([boxes[:, None, :2].expand(-1, 4, -1) + 3, torch.full((number, 4, 1), 2.0)], -1)
        labels = torch.arange(number) % 2
        there = Objects(boxes, labels, torch.zeros(number, dtype=torch.bool), masks.sum((1, 2)).float(), masks, points)
        scores = torch.rand(number, generator=generator)
        found = Detections(boxes + 2, scores, labels, masks.roll(2, -1).float(), points + torch.tensor([1.0, 0, 0]))
        made.append((found, (index, there)))
    return made


def scored(parts, monkeypatch) -> dict[str, float]:
    """What the last of several devices says, each with its images."""
    devices = []
    for part in parts:
        metric = DetectionScores(NAMES, ("mask", "keypoint"), FOUR)
        for found, target in part:
            metric.update([found], [target])
        devices.append({index: of_set._on_host(record) for index, record in metric._images.items()})
    monkeypatch.setattr(of_set, "gather", lambda own: devices)
    return {name: float(value) for name, value in metric.compute().items()}


def test_an_image_that_two_devices_had_counts_once(monkeypatch):
    """row 205: however the set is divided, in whatever order, with and without images for each device."""
    every = images(7)
    expected = scored([every], monkeypatch)
    assert 0.1 < expected["map"] < 1
    for parts in ([every[:3], every[3:]], [every[4:], every[:4]], [every[:5], every[3:]], [[], every], [every, []]):
        assert scored(parts, monkeypatch) == expected


def test_each_class_has_its_precision_and_what_nothing_tells_is_left_out(monkeypatch):
    """row 204: the mean over classes that occur; nothing of a class or of a size that does not."""
    scores = scored([images(7)], monkeypatch)
    assert scores["map"] == pytest.approx((scores["ap/a"] + scores["ap/b"]) / 2)
    assert "ap/c" not in scores
    assert "map_large" not in scores
    assert {"mask_map", "keypoint_map", "map_50_exact", "mar_100"} <= scores.keys()
    assert not any(math.isnan(value) for value in scores.values())


def test_a_set_without_objects_has_precision_0(monkeypatch):
    """So that what watches it always has a value; after a reset nothing is left."""
    nothing = no_objects()
    metric = DetectionScores(NAMES)
    metric.update([images(1)[0][0]], [(0, nothing)])
    assert {name: float(value) for name, value in metric.compute().items()} == {"map": 0.0}
    metric.reset()
    assert not metric._images
