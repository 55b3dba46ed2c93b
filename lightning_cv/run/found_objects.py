"""How does what a detector found become a file that other programs read, and pictures?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle
from torch import Tensor

from lightning_cv.contracts import INDEX, Stage
from lightning_cv.data import VisionData
from lightning_cv.metrics.detection import encode
from lightning_cv.ops.processes import gather, rank_and_devices
from lightning_cv.pictures import readable_names
from lightning_cv.pictures.objects import FOUND, Shape, draw_objects
from lightning_cv.run.prediction_names import MAX_PICTURES, prediction_names

SHOWN = 0.5  # score from which a detection is drawn
PICTURE_PX = 640


def write_found(home: Path, batches: Sequence[Any], *, data: VisionData) -> list[str]:
    """Write `predictions.json` and a picture an image; returns the lines that say so. Every process calls it.

    The file is of COCO's format with `images`, `categories` and, with a `score` each, `annotations`: these alone are
    what pycocotools takes as results. What further heads say of an object, one number each, stands under their names.
    Boxes are (x, y, width, height) in pixels of the image as it was read.

    Args:
        home: the folder.
        batches: what `Trainer.predict` returned in this process.
        data: whose images were predicted.
    """
    own = {
        index: _on_host(found)
        for batch in batches
        for index, found in zip(batch[INDEX].tolist(), batch["prediction"], strict=True)
    }
    found = {index: each for part in gather(own) for index, each in part.items()}
    if rank_and_devices()[0] != 0:
        return []
    file = home / "predictions.json"
    file.write_text(json.dumps(as_coco(found, data)), encoding="utf-8")
    pictures = _draw(home / "predictions", found, data)
    count = sum(len(each["boxes"]) for each in found.values())
    return [f"{count} objects on {len(found)} images in {file}", f"{pictures} pictures in {home / 'predictions'}"]


def as_coco(found: dict[int, dict[str, Any]], data: VisionData) -> dict[str, list[dict[str, Any]]]:
    """Detections by the index of their image as COCO's files have them."""
    split: Any = data.split(Stage.PREDICT)
    sources = [split, data.split(Stage.TRAIN)] if data.is_loaded(Stage.TRAIN) else [split]
    stated = [getattr(source, "category_ids", None) for source in sources]
    ids = next(filter(None, stated), range(1, data.info.num_classes + 1))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, each in sorted(found.items()):
        known = getattr(split, "images", None)
        image_id = known[index].image_id if known is not None and known[index].image_id is not None else index
        height, width = each["size"]
        name = data.sample_name(Stage.PREDICT, index)
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for row, (x1, y1, x2, y2) in enumerate(each["boxes"].tolist()):
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[int(each["labels"][row])],
                "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
                "area": round((x2 - x1) * (y2 - y1), 3),
                "iscrowd": 0,
                "score": round(float(each["scores"][row]), 6),
            }
            if each.get("masks") is not None:
                mask = each["masks"][row]
                entry["segmentation"] = {"size": mask["size"], "counts": mask["counts"].decode()}
            if each.get("keypoints") is not None:
                points = each["keypoints"][row] - [0.5, 0.5, 0.0]  # COCO counts pixels by their middles
                entry["keypoints"] = points.round(3).flatten().tolist()
            entry |= {name: round(float(v[row]), 6) for name, v in each["extras"].items() if v.ndim == 1}
            annotations.append(entry)
    categories = [{"id": n, "name": name} for n, name in zip(ids, data.info.class_names, strict=True)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _on_host(prediction: dict[str, Any]) -> dict[str, Any]:
    """Arrays, and masks encoded."""
    values = {key: value.float().cpu().numpy() for key, value in prediction.items() if isinstance(value, Tensor)}
    masks = prediction.get("masks")
    extras = {name: value.float().cpu().numpy() for name, value in prediction["extras"].items()}
    encoded = None if masks is None else encode((masks > SHOWN).cpu())
    return {**values, "masks": encoded, "extras": extras, "size": prediction["size"]}


def _draw(folder: Path, found: dict[int, dict[str, Any]], data: VisionData) -> int:
    """Pictures of the first images; returns how many."""
    names = readable_names(data.info.class_names)
    folder.mkdir(parents=True, exist_ok=True)
    files = prediction_names(data)
    indices = sorted(found)[:MAX_PICTURES]
    for index in indices:
        image, _ = data.split(Stage.PREDICT)[index]
        draw_objects(image, _shapes(found[index], names), side_px=PICTURE_PX).save(folder / f"{files[index]}.png")
    return len(indices)


def _shapes(each: dict[str, Any], names: Sequence[str]) -> list[Shape]:
    shapes = []
    for row, score in enumerate(each["scores"].tolist()):
        if score < SHOWN:
            continue
        mask = None if each.get("masks") is None else rle.decode(each["masks"][row]).astype(np.bool_)
        points = each.get("keypoints")
        known = () if points is None else [(x, y) for x, y, _ in points[row].tolist()]
        text = f"{names[int(each['labels'][row])]} {score:.2f}"
        shapes.append(Shape(tuple(each["boxes"][row].tolist()), text, FOUND, mask, known))
    return shapes
