"""How much alike are a detection and an object: boxes, masks, keypoints?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from pycocotools import mask as rle

from lightning_cv.metrics.detection.records import Booleans, Floats, Found, Integers, Truth

# How far people who mark a keypoint differ, as a share of the object's size: nose, eyes, ears, shoulders, elbows,
# wrists, hips, knees, ankles (COCO keypoint evaluation; measured on 5,000 images).
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)


class Similarity(Protocol):
    """Compares detections with objects of the same image and class."""

    def __call__(self, found: Found, truth: Truth, detections: Integers, objects: Integers) -> Floats:
        """Similarities in [0, 1].

        Args:
            found: all detections.
            truth: all objects.
            detections: (n,) rows of `found`.
            objects: (n, g) rows of `truth` for each of them; some are repeated only to fill the array.

        Returns:
            (n, g).
        """
        ...


class BoxIoU:
    """Intersection over union of boxes (x, y, width, height); with a crowd, over the detection's own area (row 201)."""

    def __call__(self, found: Found, truth: Truth, detections: Integers, objects: Integers) -> Floats:
        """See `Similarity`."""
        a, b = found.shape[detections][:, None], truth.shape[objects]
        low = np.maximum(a[..., :2], b[..., :2])
        high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
        both: Floats = (high - low).clip(min=0).prod(-1)
        own, other = a[..., 2:].prod(-1), b[..., 2:].prod(-1)
        either = np.where(truth.crowd[objects], own, own + other - both)
        return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


class MaskIoU:
    """Intersection over union of run-length encoded masks; with a crowd, over the detection's own area."""

    def __call__(self, found: Found, truth: Truth, detections: Integers, objects: Integers) -> Floats:
        """See `Similarity`."""
        rows = [
            rle.iou([found.shape[detection]], [truth.shape[g] for g in row], truth.crowd[row].astype(np.uint8).tolist())
            for detection, row in zip(detections.tolist(), objects, strict=True)
        ]
        return np.concatenate(rows).astype(np.float64).reshape(objects.shape)


class KeypointSimilarity:
    """Object keypoint similarity (row 225; COCO keypoint evaluation, section 1.2).

    The mean over an object's marked keypoints of exp(-d² / (2 s² k²)), with d their distance to the detection's, s² the
    object's area and k = 2 sigma. Of an object without any, the distances are those to its box, made three times as
    large.

    Args:
        sigmas: (K,), how exactly each keypoint can be marked.
    """

    def __init__(self, sigmas: Sequence[float]) -> None:
        self._variances = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2

    def __call__(self, found: Found, truth: Truth, detections: Integers, objects: Integers) -> Floats:
        """See `Similarity`; `truth.shape` is (G, K + 2, 3): the keypoints, and behind them the corners of the box."""
        points = found.shape[detections][:, None, :, :2]
        marked_points, corners = truth.shape[objects][:, :, :-2], truth.shape[objects][:, :, -2:, :2]
        marked: Booleans = np.asarray(marked_points[..., 2] > 0)
        size = corners[:, :, 1] - corners[:, :, 0]
        low, high = corners[:, :, 0] - size, corners[:, :, 0] + 2 * size
        outside = (low[:, :, None] - points).clip(min=0) + (points - high[:, :, None]).clip(min=0)
        some = np.asarray(marked.any(-1))
        apart = np.where(some[..., None, None], points - marked_points[..., :2], outside)
        scale = self._variances * (truth.area[objects][..., None] + np.spacing(1)) * 2
        near: Floats = np.exp(-np.square(apart).sum(-1) / scale)
        counted = marked | ~some[..., None]
        return (near * counted).sum(-1) / counted.sum(-1)


def encode(masks: Any) -> list[dict[str, Any]]:
    """Run-length encodings of masks (n, H, W), bool or uint8 in {0, 1}."""
    array = np.asarray(masks, dtype=np.uint8)
    return list(rle.encode(np.asfortranarray(array.transpose(1, 2, 0)))) if len(array) else []


def mask_areas(encoded: Sequence[dict[str, Any]]) -> Floats:
    """Pixels of each encoded mask, (n,)."""
    # One by one: pycocotools 2.0.11 counts the masks of one call in 8 bits.
    return np.asarray([rle.area(mask) for mask in encoded], dtype=np.float64)
