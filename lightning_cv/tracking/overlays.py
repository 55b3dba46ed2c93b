"""How does a picture that brings boxes and masks as data become one of W&B, where a person can switch them off?"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb
from PIL import Image

from lightning_cv.contracts import OVERLAYS

if TYPE_CHECKING:
    from pathlib import Path


def as_wandb_image(path: Path) -> wandb.Image:
    """The picture, with what its text says of boxes and masks."""
    with Image.open(path) as picture:
        told = picture.info.get(OVERLAYS)
    if not told:
        return wandb.Image(os.fspath(path))
    overlays: dict[str, Any] = json.loads(told)
    labels = {int(number): name for number, name in overlays["class_labels"].items()}
    boxes = {key: {"box_data": data, "class_labels": labels} for key, data in overlays["boxes"].items() if data}
    # W&B's masks count classes, and 0 is nothing.
    numbered = {0: "", **{number + 1: name for number, name in labels.items()}}
    masks = {
        key: {"mask_data": _classes(runs, overlays["size"]), "class_labels": numbered}
        for key, runs in overlays["masks"].items()
    }
    return wandb.Image(os.fspath(path), boxes=boxes or None, masks=masks or None)


def _classes(runs: list[list[int]], size: list[int]) -> np.ndarray[Any, Any]:
    """(H, W) of [value, count] of each run, row by row."""
    values, counts = zip(*runs, strict=True)
    return np.repeat(np.array(values, dtype=np.uint8), counts).reshape(size)
