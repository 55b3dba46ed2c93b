"""How well are the objects of a whole set found, exactly, over any number of devices?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_cv.contracts import Detections, KeypointSet, Objects
from lightning_cv.metrics.detection.coco import CocoEvaluation, Kind
from lightning_cv.metrics.detection.records import Found, Truth
from lightning_cv.metrics.detection.similarity import (
    COCO_SIGMAS,
    BoxIoU,
    KeypointSimilarity,
    MaskIoU,
    Similarity,
    encode,
    mask_areas,
)
from lightning_cv.ops.processes import gather

_SURE = 0.5  # probability from which a pixel belongs to a mask
_OTHER_SIGMA = 0.05  # of keypoints that are not COCO's seventeen


class DetectionScores(Metric):
    """COCO's scores of boxes, and of masks and keypoints where the detector gives them.

    Detections and objects are kept by image, brought together from all devices at the end, and an image that two
    devices had counts once: the value does not depend on how the set was divided.

    Names begin with `mask_` and `keypoint_` where these are compared; `ap/<class>` is the average precision of one
    class of boxes. What no object can tell, such as `map_large` where all are small, is left out; `map` is then 0.

    Args:
        class_names: one name a class.
        finds: what is compared besides boxes: "mask", "keypoint".
        keypoints: what keypoints there are.
    """

    full_state_update = False

    def __init__(
        self, class_names: Sequence[str], finds: Sequence[str] = (), keypoints: KeypointSet | None = None
    ) -> None:
        super().__init__()
        self._class_names = tuple(class_names)
        self._similarities: dict[Kind, Similarity] = {"box": BoxIoU()}
        if "mask" in finds:
            self._similarities["mask"] = MaskIoU()
        if "keypoint" in finds:
            self._similarities["keypoint"] = KeypointSimilarity(_sigmas(keypoints))
        self._images: dict[int, dict[str, Any]] = {}

    def update(self, predictions: Sequence[Detections], targets: Sequence[tuple[int, Objects]]) -> None:
        """Add images: what was found on each, its index, and what is there, both in pixels of one size."""
        for found, (index, truth) in zip(predictions, targets, strict=True):
            self._images[index] = self._record(found, truth)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name, each a scalar; every process calls it."""
        own = {index: _on_host(record) for index, record in self._images.items()}
        images: dict[int, dict[str, Any]] = {}
        for part in gather(own):
            images = {**part, **images}
        ordered = sorted(images.items())
        scores: dict[str, float] = {}
        for kind, similarity in self._similarities.items():
            evaluation = CocoEvaluation(kind, similarity, len(self._class_names))
            told = evaluation(_found(ordered, kind), _truth(ordered, kind))
            prefix = "" if kind == "box" else f"{kind}_"
            scores |= {f"{prefix}{name}": value for name, value in told.items() if isinstance(value, float)}
            if kind == "box":
                each = zip(self._class_names, np.asarray(told["ap"]).tolist(), strict=True)
                scores |= {f"ap/{name}": value for name, value in each}
            if math.isnan(scores[f"{prefix}map"]):
                scores[f"{prefix}map"] = 0.0
        return {name: torch.tensor(value) for name, value in scores.items() if not math.isnan(value)}

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._images = {}

    def _record(self, found: Detections, truth: Objects) -> dict[str, Any]:
        record: dict[str, Any] = {
            "found": [found.boxes.detach(), found.scores.detach(), found.labels],
            "truth": [truth.boxes, truth.labels, truth.areas, truth.crowd],
        }
        if "mask" in self._similarities:
            assert found.masks is not None
            assert truth.masks is not None, "the data have masks"
            masks = found.masks.detach() > _SURE
            record["masks"] = (encode(masks.cpu()), encode(truth.masks.cpu()))

        if "keypoint" in self._similarities:
            assert found.keypoints is not None
            assert truth.keypoints is not None, "the data have keypoints"
            record["keypoints"] = [found.keypoints.detach(), truth.keypoints]
        return record


def _on_host(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [_numbers(value) if isinstance(value, Tensor) else value for value in values]
        if isinstance(values, list)
        else values
        for key, values in record.items()
    }


def _numbers(values: Tensor) -> Any:
    return (values.double() if values.is_floating_point() else values).cpu().numpy()


def _found(images: Sequence[tuple[int, dict[str, Any]]], kind: Kind) -> Found:
    rows = [record["found"] for _, record in images]
    boxes, scores, labels = (_joined([row[n] for row in rows], width) for n, width in ((0, 4), (1, 0), (2, 0)))
    image = np.repeat([index for index, _ in images], [len(row[1]) for row in rows]).astype(np.int64)
    corners = _corner_and_size(boxes)
    area, shape = corners[:, 2:].prod(1), corners
    if kind == "mask":
        shape = [mask for _, record in images for mask in record["masks"][0]]
        area = mask_areas(shape)
    elif kind == "keypoint":
        shape = np.concatenate([record["keypoints"][0] for _, record in images])
        area = np.ptp(shape[..., :2], axis=1).prod(1) if len(shape) else area
    return Found(image, labels.astype(np.int64), scores, area, shape)


def _truth(images: Sequence[tuple[int, dict[str, Any]]], kind: Kind) -> Truth:
    rows = [record["truth"] for _, record in images]
    boxes, labels, area, crowd = (
        _joined([row[column] for row in rows], width) for column, width in ((0, 4), (1, 0), (2, 0), (3, 0))
    )
    image = np.repeat([index for index, _ in images], [len(row[1]) for row in rows]).astype(np.int64)
    crowd = crowd.astype(np.bool_)
    ignored, shape = crowd, _corner_and_size(boxes)
    if kind == "mask":
        shape = [mask for _, record in images for mask in record["masks"][1]]
    elif kind == "keypoint":
        points = np.concatenate([record["keypoints"][1] for _, record in images])
        ignored = crowd | ~(points[..., 2] > 0).any(1)
        ends = np.concatenate([boxes.reshape(-1, 2, 2), np.zeros((len(boxes), 2, 1))], axis=-1)
        shape = np.concatenate([points, ends], axis=1)
    return Truth(image, labels.astype(np.int64), area, crowd, ignored, shape)


def _joined(parts: Sequence[Any], width: int) -> Any:
    return np.concatenate(parts) if parts else np.zeros((0, width) if width else 0)


def _corner_and_size(boxes: Any) -> Any:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _sigmas(keypoints: KeypointSet | None) -> Sequence[float]:
    if keypoints is None:
        return COCO_SIGMAS
    return keypoints.sigmas or (_OTHER_SIGMA,) * len(keypoints.names)
