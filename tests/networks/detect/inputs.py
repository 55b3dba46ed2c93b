"""Images with objects for detectors, and every detector small enough for a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lightning_cv.contracts import Objects
from lightning_cv.networks.detect import (
    Detr,
    DiffusionDet,
    FasterRcnn,
    FastRcnn,
    Fcos,
    FeatureMaps,
    KeypointRcnn,
    MaskRcnn,
    Pyramid,
    Rcnn,
    RetinaNet,
    SelectiveSearch,
    SingleObject,
    SlidingWindow,
    Ssd,
    YoloV1,
)
from lightning_cv.ops.objects import no_objects

CLASSES = 3
KEYPOINTS = 4


def pyramid() -> Pyramid:
    return Pyramid("small", channels=32, extra="none")


def told_apart(network: RetinaNet) -> RetinaNet:
    """Scores of a new one differ by no more than rounding does, so that which is the surest depends on the machine.

    These are far apart, among the first ones.
    """
    for layer in network.model.head.classification_head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return network


REGIONS = {"anchor_sizes": (8, 16, 24, 32), "head_width": 32, "proposals": (40, 20), "regions_trained": 16}
SEARCH = {"max_boxes": 30}

DETECTORS: dict[str, Callable[[], torch.nn.Module]] = {
    "FasterRcnn": lambda: FasterRcnn(CLASSES, pyramid(), **REGIONS),
    "MaskRcnn": lambda: MaskRcnn(CLASSES, pyramid(), mask_layers=(16,), **REGIONS),
    "KeypointRcnn": lambda: KeypointRcnn(CLASSES, pyramid(), num_keypoints=KEYPOINTS, keypoint_layers=(16,), **REGIONS),
    "RetinaNet": lambda: told_apart(
        RetinaNet(CLASSES, pyramid(), anchor_sizes=(8, 16, 24, 32), score_threshold=0.005, max_detections=12)
    ),
    "Fcos": lambda: Fcos(CLASSES, Pyramid("small", channels=64, extra="none"), score_threshold=0.01),
    "Ssd": lambda: Ssd(CLASSES, pyramid(), anchor_shares=(0.1, 0.2, 0.4, 0.6, 0.8)),
    "Detr": lambda: Detr(CLASSES, stride=16, queries=6, layers=2, width=32, heads=4, hidden_width=32, dropout=0.0),
    "DiffusionDet": lambda: DiffusionDet(CLASSES, pyramid(), boxes=8, heads=2, width=32, score_threshold=0.001),
    "Rcnn": lambda: Rcnn(CLASSES, SelectiveSearch(**SEARCH), regions_trained=8),
    "FastRcnn": lambda: FastRcnn(CLASSES, SelectiveSearch(**SEARCH), head_width=32, regions_trained=16),
    "SlidingWindow": lambda: SlidingWindow(CLASSES, windows=((24, 24),), stride=0.5, score_threshold=0.1),
    "SingleObject": lambda: SingleObject(CLASSES, backbone=FeatureMaps(), width=32),
    "YoloV1": lambda: YoloV1(CLASSES, grid=4, stride=8, width=32, score_threshold=0.0),
}


def objects_on(seed: int, size: tuple[int, int], count: int) -> Objects:
    """Boxes with whole corners, each with a mask and keypoints in it."""
    if not count:
        nothing = no_objects()
        masks, points = torch.zeros(0, *size, dtype=torch.uint8), torch.zeros(0, KEYPOINTS, 3)
        return Objects(nothing.boxes, nothing.labels, nothing.crowd, nothing.areas, masks, points)
    generator = torch.Generator().manual_seed(seed)
    sides = torch.randint(12, 28, (count, 2), generator=generator)
    room = torch.tensor([size[1], size[0]]) - sides
    corner = (torch.rand(count, 2, generator=generator) * room).long()
    boxes = torch.cat([corner, corner + sides], dim=1)
    masks = torch.zeros(count, *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    inside = torch.rand(count, KEYPOINTS, 2, generator=generator) * sides[:, None] + corner[:, None]
    points = torch.cat([inside, torch.full((count, KEYPOINTS, 1), 2.0)], dim=-1)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return Objects(boxes.float(), labels, torch.zeros(count, dtype=torch.bool), sides.prod(1).float(), masks, points)


def batch_of(
    sizes: Sequence[tuple[int, int]], counts: Sequence[int], seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, list[Objects]]:
    """Images (B, 3, H, W) with bright objects on noise, padded to the largest with what no detector may look at."""
    objects = [objects_on(seed + n, size, count) for n, (size, count) in enumerate(zip(sizes, counts, strict=True))]
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    images = torch.full((len(sizes), 3, height, width), 1e3)
    generator = torch.Generator().manual_seed(seed)
    for image, (h, w), there in zip(images, sizes, objects, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w, generator=generator) * 0.3
        for label, (x1, y1, x2, y2) in zip(there.labels.tolist(), there.boxes.long().tolist(), strict=True):
            image[label, y1:y2, x1:x2] += 2
    return images, torch.tensor(sizes), objects
