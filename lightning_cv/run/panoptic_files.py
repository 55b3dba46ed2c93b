"""How do the segments that were found become files of COCO's panoptic format, and pictures?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from lightning_cv.contracts import Panoptic, PixelSet, Stage
from lightning_cv.data import VisionData
from lightning_cv.ops.processes import gather
from lightning_cv.run.prediction_files import PredictionFiles


class PanopticFiles(PredictionFiles):
    """A PNG of the segments of each image, pictures, and at the end JSON.

    `predictions.json` and the PNG files in `predictions/segments` are of COCO's panoptic format, as its evaluation and
    `data.CocoPanoptic` read them.
    """

    kind = "segments"

    def __init__(self, home: Path, data: VisionData) -> None:
        super().__init__(home, data)
        self.file = home / "predictions.json"
        self._segments: dict[int, tuple[list[dict[str, int]], list[int]]] = {}

    def write(self, index: int, prediction: dict[str, Tensor]) -> None:
        """The segments of one image."""
        found = Panoptic(**{key: value.cpu() for key, value in prediction.items()})
        self._segments[index] = segments_info(found, self.pixels), list(found.segments.shape)
        segment_picture(found).save(self.path(index))
        self.draw(index, found.classes.numpy(), found.segments.numpy())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook: what all devices found, in one file."""
        parts = gather(self._segments)
        self._segments = {index: each for part in parts for index, each in part.items()}
        if trainer.is_global_zero:
            self.file.write_text(json.dumps(self._as_coco()), encoding="utf-8")

    def lines(self) -> list[str]:
        """See `PredictionFiles`."""
        count = sum(len(segments) for segments, _ in self._segments.values())
        where = f"{self.file} and {self.folder / self.kind}"
        return [f"{count} segments on {len(self._segments)} images in {where}", self.pictures_line()]

    def _as_coco(self) -> dict[str, Any]:
        split, pixels = self.data.split(Stage.PREDICT), self.pixels
        assert pixels.things is not None
        columns = (pixels.values, self.data.info.class_names, pixels.things, pixels.colors)
        categories = [
            {"id": value, "name": name, "isthing": int(is_thing), "color": list(color)}
            for value, name, is_thing, color in zip(*columns, strict=True)
        ]
        images, annotations = [], []
        for index, (segments, (height, width)) in sorted(self._segments.items()):
            known: Any = getattr(split, "images", None)
            image_id = index if known is None else known[index].image_id
            name = self.data.sample_name(Stage.PREDICT, index)
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            file_name = f"{self.names[index]}.png"
            annotations.append({"image_id": image_id, "file_name": file_name, "segments_info": segments})
        return {"images": images, "categories": categories, "annotations": annotations}


def segments_info(found: Panoptic, pixels: PixelSet) -> list[dict[str, int]]:
    """The segments of an image as COCO's files list them; segment s is number s + 1, since 0 is none."""
    areas = found.segments[found.segments >= 0].bincount(minlength=len(found.labels)).tolist()
    return [
        {"id": number + 1, "category_id": pixels.values[label], "iscrowd": 0, "area": area}
        for number, (label, area) in enumerate(zip(found.labels.tolist(), areas, strict=True))
    ]


def segment_picture(found: Panoptic) -> Image.Image:
    """The number of each pixel's segment as R + 256 G + 65536 B; 0: none."""
    numbers = found.segments.numpy() + 1
    return Image.fromarray(np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8))
