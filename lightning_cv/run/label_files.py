"""How do the classes of pixels that were found become files that the data set itself, and a person, can read?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import yaml
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_cv.contracts import PixelSet
from lightning_cv.run.prediction_files import PredictionFiles


class LabelFiles(PredictionFiles):
    """A PNG of labels for each image, and pictures.

    Label files have the values of the data set's own masks, and its colours as their palette, so that whatever reads
    these reads them; `labels.yaml` beside them says which value is which class.
    """

    kind = "labels"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook: also say what the values mean."""
        super().setup(trainer, pl_module, stage)
        if trainer.is_global_zero:
            meaning = dict(zip(self.data.info.class_names, self.pixels.values, strict=True))
            text = yaml.safe_dump(meaning, sort_keys=False, allow_unicode=True)
            (self.folder / "labels.yaml").write_text(text, encoding="utf-8")

    def write(self, index: int, prediction: Tensor) -> None:
        """The classes (H, W) of one image."""
        classes = prediction.cpu().numpy()
        label_picture(classes, self.pixels).save(self.path(index))
        self.draw(index, classes)

    def lines(self) -> list[str]:
        """See `PredictionFiles`."""
        return [f"{len(self.names)} label files in {self.folder / self.kind}", self.pictures_line()]


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
