"""How do the classes of pixels that were found become files that the data set itself, and a person, can read?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from PIL import Image

from lightning_cv.contracts import INDEX, PixelSet, Stage
from lightning_cv.data import VisionData
from lightning_cv.pictures import readable_names
from lightning_cv.pictures.pixels import below, lay_over, legend
from lightning_cv.run.prediction_names import MAX_PICTURES, prediction_names

PICTURE_PX = 640


class LabelFiles(Callback):
    """Writes, as soon as they are found, a PNG of labels for each image, and a picture of the first ones.

    Label files have the values of the data set's own masks, and its colours as their palette, so that whatever reads
    these reads them; `labels.yaml` beside them says which value is which class.

    Args:
        home: `predictions` is made in it.
        data: whose images are predicted.
    """

    def __init__(self, home: Path, data: VisionData) -> None:
        self.folder = home / "predictions"
        self._data = data
        self._names: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook: name the files, and make the folders."""
        self._names = prediction_names(self._data)
        for name in ("labels", "overlays"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if trainer.is_global_zero:
            info = self._data.info
            assert info.pixels is not None, "Segment asks for classes of pixels"
            meaning = dict(zip(info.class_names, info.pixels.values, strict=True))
            text = yaml.safe_dump(meaning, sort_keys=False, allow_unicode=True)
            (self.folder / "labels.yaml").write_text(text, encoding="utf-8")

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
        assert info.pixels is not None
        for index, classes in zip(outputs[INDEX].tolist(), outputs["prediction"], strict=True):
            found = classes.cpu().numpy()
            label_picture(found, info.pixels).save(self.folder / "labels" / f"{self._names[index]}.png")
            if index < MAX_PICTURES:
                image, _ = self._data.split(Stage.PREDICT)[index]
                picture = lay_over(image, found, info.pixels.colors, side_px=PICTURE_PX)
                names = legend(readable_names(info.class_names), info.pixels.colors, picture.width)
                below(picture, names).save(self.folder / "overlays" / f"{self._names[index]}.png")

    def lines(self) -> list[str]:
        """What was written, for a person."""
        pictures = min(len(self._names), MAX_PICTURES)
        return [
            f"{len(self._names)} label files in {self.folder / 'labels'}, {pictures} pictures in "
            f"{self.folder / 'overlays'}"
        ]


def label_picture(classes: NDArray[Any], pixels: PixelSet) -> Image.Image:
    """Classes (H, W) as a data set's masks have them: its values, and its palette where they are below 256."""
    values = np.array(pixels.values)
    mode: Literal["P", "I;16"] = "P" if values.max() < 256 else "I;16"
    picture = Image.fromarray(values[classes].astype(np.uint8 if mode == "P" else np.uint16))
    if mode == "P":
        picture.putpalette(_palette(pixels))
    return picture


def _palette(pixels: PixelSet) -> list[int]:
    """The colours of the values 0 to 255; those that mean nothing are white."""
    colors = dict(zip(pixels.values, pixels.colors, strict=True))
    return [channel for value in range(256) for channel in colors.get(value, (255, 255, 255))]
