"""Random detection problems, and pycocotools' verdict on them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lightning_cv.metrics.detection import Found, Truth, encode, mask_areas

NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
RECALLS = ("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")
KEYPOINT_NAMES = ("map", "map_50", "map_75", "map_medium", "map_large", "mar_20", None, None, "mar_medium", "mar_large")


def random_case(
    seed: int, *, num_images: int = 12, num_classes: int = 4, size: int = 300, most: int = 9, coarse: bool = False
) -> tuple[Found, Truth]:
    """Boxes: detections near the objects, far from them, doubled, of the wrong class; crowds; draws where `coarse`."""
    rng = np.random.default_rng(seed)
    truth: list[tuple[Any, ...]] = []
    found: list[tuple[Any, ...]] = []
    for image in rng.permutation(num_images).tolist():
        for _ in range(rng.integers(0, most)):
            side = np.exp(rng.uniform(np.log(6), np.log(size / 1.5), 2))
            box = np.r_[rng.uniform(0, size - side), side].round(1)
            label = int(rng.integers(num_classes - 1))  # the last class has no objects
            crowd = bool(rng.random() < 0.15)
            area = float(box[2] * box[3] * rng.uniform(0.4, 1))
            truth.append((image, label, area, crowd, box))
            for _ in range(rng.integers(0, 4)):
                moved = box + rng.normal(0, 0.12, 4) * box[[2, 3, 2, 3]]
                moved[2:] = moved[2:].clip(1)
                other = label if rng.random() < 0.85 else int(rng.integers(num_classes))
                found.append((image, other, rng.random(), moved))
        for _ in range(rng.integers(0, 4)):
            side = rng.uniform(4, size / 3, 2)
            found.append(
                (image, int(rng.integers(num_classes)), rng.random(), np.r_[rng.uniform(0, size / 2, 2), side])
            )
    boxes = np.array([f[3] for f in found]).reshape(-1, 4)
    scores = np.array([f[2] for f in found], dtype=np.float64)
    if coarse:  # many draws
        boxes, scores = boxes.round(-1).clip(1), scores.round(1)
    truth_boxes = np.array([t[4] for t in truth]).reshape(-1, 4)
    if coarse:
        truth_boxes = truth_boxes.round(-1).clip(1)
    integers = lambda values: np.array(values, dtype=np.int64)  # noqa: E731
    crowds = np.array([t[3] for t in truth], dtype=np.bool_)
    return (
        Found(integers([f[0] for f in found]), integers([f[1] for f in found]), scores, boxes[:, 2:].prod(1), boxes),
        Truth(
            integers([t[0] for t in truth]),
            integers([t[1] for t in truth]),
            np.array([t[2] for t in truth], dtype=np.float64),
            crowds,
            crowds.copy(),
            truth_boxes,
        ),
    )


def as_masks(found: Found, truth: Truth, size: int = 300) -> tuple[Found, Truth]:
    """The same with ellipses in the boxes."""

    def ellipses(boxes: np.ndarray) -> list[dict[str, Any]]:
        y, x = np.mgrid[:size, :size] + 0.5
        masks = [((x - bx - w / 2) / (w / 2)) ** 2 + ((y - by - h / 2) / (h / 2)) ** 2 <= 1 for bx, by, w, h in boxes]
        return encode(np.array(masks).reshape(-1, size, size))

    shapes = ellipses(found.shape)
    return (
        Found(found.image, found.label, found.score, mask_areas(shapes), shapes),
        Truth(truth.image, truth.label, truth.area, truth.crowd, truth.ignored, ellipses(truth.shape)),
    )


def as_keypoints(found: Found, truth: Truth, *, num: int = 17, seed: int = 0) -> tuple[Found, Truth]:
    """One class, points in the boxes; of some objects none is marked."""
    rng = np.random.default_rng(seed)
    places = rng.random((num, 2))
    own = truth.shape[:, None, :2] + places * truth.shape[:, None, 2:]
    marked = rng.integers(0, 3, own.shape[:2]) * (rng.random(len(own)) < 0.85)[:, None]
    own = np.concatenate([own, marked[..., None]], -1)
    corners = np.stack([truth.shape[:, :2], truth.shape[:, :2] + truth.shape[:, 2:]], 1)
    corners = np.concatenate([corners, np.zeros((*corners.shape[:2], 1))], -1)
    points = found.shape[:, None, :2] + places * found.shape[:, None, 2:]
    points += rng.normal(0, 0.03, points.shape) * found.shape[:, None, 2:]
    sides = np.ptp(points, axis=1)
    points = np.concatenate([points, np.ones((*points.shape[:2], 1))], -1)
    none = np.zeros(len(truth), dtype=np.int64)
    ignored = truth.crowd | (marked > 0).sum(1).__eq__(0)
    return (
        Found(found.image, np.zeros(len(found), dtype=np.int64), found.score, sides.prod(1), points),
        Truth(truth.image, none, truth.area, truth.crowd, ignored, np.concatenate([own, corners], 1)),
    )


def pycocotools(found: Found, truth: Truth, kind: str, num_classes: int) -> dict[str, float]:
    """The scores of pycocotools, NaN where it says -1."""
    images = sorted({*found.image.tolist(), *truth.image.tolist()})
    annotations, results = [], []
    for row in range(len(truth)):
        entry = {
            "id": row + 1,
            "image_id": int(truth.image[row]),
            "category_id": int(truth.label[row]),
            "area": float(truth.area[row]),
            "iscrowd": int(truth.crowd[row]),
            "bbox": [0, 0, 1, 1],
        }
        annotations.append(entry | _shape(truth.shape[row], kind, truth=True))
    for row in range(len(found)):
        entry = {
            "image_id": int(found.image[row]),
            "category_id": int(found.label[row]),
            "score": float(found.score[row]),
        }
        results.append(entry | _shape(found.shape[row], kind, truth=False))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image, "height": 300, "width": 300} for image in images],
            "categories": [{"id": label} for label in range(num_classes)],
            "annotations": annotations,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), {"box": "bbox", "mask": "segm"}.get(kind, "keypoints"))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = KEYPOINT_NAMES if kind == "keypoint" else (*NAMES, *RECALLS)
    stats = [value if value >= 0 else np.nan for value in evaluation.stats]
    return {name: value for name, value in zip(names, stats, strict=True) if name}


def _shape(shape: Any, kind: str, *, truth: bool) -> dict[str, Any]:
    if kind == "box":
        return {"bbox": shape.tolist()}
    if kind == "mask":
        return {"segmentation": dict(shape), **({"bbox": rle.toBbox(shape).tolist()} if truth else {})}
    points = shape[:-2] if truth else shape
    more = {}
    if truth:
        corner, other = shape[-2, :2], shape[-1, :2]
        more = {"bbox": [*corner, *(other - corner)], "num_keypoints": int((points[:, 2] > 0).sum())}
    return {"keypoints": points.flatten().tolist(), **more}
