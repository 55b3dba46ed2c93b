"""How do the segments that were found become files of COCO's panoptic format, and pictures?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from lightning_cv.contracts import INDEX, Panoptic, PixelSet, Stage
from lightning_cv.data import VisionData
from lightning_cv.ops.processes import gather
from lightning_cv.pictures import readable_names
from lightning_cv.pictures.pixels import below, lay_over, legend
from lightning_cv.run.prediction_names import MAX_PICTURES, prediction_names

PICTURE_PX = 640


class PanopticFiles(Callback):
    """Writes a PNG of the segments of each image as soon as they are found, pictures of the first, and at the end JSON.

    `predictions.json` and the PNG files in `predictions/segments` are of COCO's panoptic format, as its evaluation and
    `data.CocoPanoptic` read them.

    Args:
        home: `predictions` is made in it.
        data: whose images are predicted.
    """

    def __init__(self, home: Path, data: VisionData) -> None:
        self.file = home / "predictions.json"
        self.folder = home / "predictions"
        self._data = data
        self._names: list[str] = []
        self._segments: dict[int, tuple[list[dict[str, int]], list[int]]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook: name the files, and make the folders."""
        self._names = prediction_names(self._data)
        for name in ("segments", "overlays"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Lightning's hook: write the images of one batch."""
        info = self._data.info
        assert info.pixels is not None, "PanopticSegment asks for segments"
        for index, prediction in zip(outputs[INDEX].tolist(), outputs["prediction"], strict=True):
            found = Panoptic(**{key: value.cpu() for key, value in prediction.items()})
            size = list(found.segments.shape)
            self._segments[index] = segments_info(found, info.pixels), size
            segment_picture(found).save(self.folder / "segments" / f"{self._names[index]}.png")
            if index < MAX_PICTURES:
                self._draw(index, found)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook: what all devices found, in one file."""
        parts = gather(self._segments)
        self._segments = {index: each for part in parts for index, each in part.items()}
        if trainer.is_global_zero:
            self.file.write_text(json.dumps(self._as_coco()), encoding="utf-8")

    def lines(self) -> list[str]:
        """What was written, for a person."""
        count = sum(len(segments) for segments, _ in self._segments.values())
        pictures = min(len(self._names), MAX_PICTURES)
        return [
            f"{count} segments on {len(self._segments)} images in {self.file} and {self.folder / 'segments'}",
            f"{pictures} pictures in {self.folder / 'overlays'}",
        ]

    def _as_coco(self) -> dict[str, Any]:
        info, split = self._data.info, self._data.split(Stage.PREDICT)
        assert info.pixels is not None
        assert info.pixels.things is not None
        columns = (info.pixels.values, info.class_names, info.pixels.things, info.pixels.colors)
        categories = [
            {"id": value, "name": name, "isthing": int(is_thing), "color": list(color)}
            for value, name, is_thing, color in zip(*columns, strict=True)
        ]
        images, annotations = [], []
        for index, (segments, (height, width)) in sorted(self._segments.items()):
            known: Any = getattr(split, "images", None)
            image_id = index if known is None else known[index].image_id
            name = self._data.sample_name(Stage.PREDICT, index)
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            file_name = f"{self._names[index]}.png"
            annotations.append({"image_id": image_id, "file_name": file_name, "segments_info": segments})
        return {"images": images, "categories": categories, "annotations": annotations}

    def _draw(self, index: int, found: Panoptic) -> None:
        info = self._data.info
        assert info.pixels is not None
        image, _ = self._data.split(Stage.PREDICT)[index]
        classes, segments = found.classes.numpy(), found.segments.numpy()
        picture = lay_over(image, classes, info.pixels.colors, side_px=PICTURE_PX, edges=segments)
        names = legend(readable_names(info.class_names), info.pixels.colors, picture.width)
        below(picture, names).save(self.folder / "overlays" / f"{self._names[index]}.png")


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
