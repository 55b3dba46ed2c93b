"""How do predictions become files as soon as they are made, without being kept in memory?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from lightning_cv.contracts import INDEX, PixelSet, Stage
from lightning_cv.data import VisionData
from lightning_cv.pictures import readable_names
from lightning_cv.pictures.pixels import below, lay_over, legend
from lightning_cv.run.prediction_names import MAX_PICTURES, prediction_names

PICTURE_PX = 640
_PICTURES = "overlays"


class PredictionFiles(Callback, ABC):
    """Writes a file for each image, and a picture of the first ones, in `predictions`.

    An author writes `write`, which gets what the task predicted of one image, and `lines`.

    Args:
        home: where `predictions` is made.
        data: whose images are predicted.
    """

    kind: ClassVar[str] = ""  # folder of the files
    folders: tuple[str, ...]  # that are made

    def __init__(self, home: Path, data: VisionData) -> None:
        self.home = home
        self.folder = home / "predictions"
        self.data = data
        self.names: list[str] = []
        self.folders = (self.kind, _PICTURES)

    @property
    def pixels(self) -> PixelSet:
        """What the classes of pixels are."""
        known = self.data.info.pixels
        assert known is not None, "the task asks for classes of pixels"
        return known

    @abstractmethod
    def write(self, index: int, prediction: Any) -> None:
        """Write one image, and `draw` it."""

    @abstractmethod
    def lines(self) -> list[str]:
        """What was written, for a person."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook: name the files, and make the folders."""
        self.names = prediction_names(self.data)
        for name in self.folders:
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
        for index, prediction in zip(outputs[INDEX].tolist(), outputs["prediction"], strict=True):
            self.write(index, prediction)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.folder / self.kind / f"{self.names[index]}.png"

    def draw(self, index: int, classes: NDArray[Any], segments: NDArray[Any] | None = None) -> None:
        """A picture with the classes (H, W) over the image, and lines between segments, of the first images."""
        if index >= MAX_PICTURES:
            return
        image, _ = self.data.split(Stage.PREDICT)[index]
        picture = lay_over(image, classes, self.pixels.colors, side_px=PICTURE_PX, edges=segments)
        names = legend(readable_names(self.data.info.class_names), self.pixels.colors, picture.width)
        below(picture, names).save(self.folder / _PICTURES / f"{self.names[index]}.png")

    def pictures_line(self) -> str:
        """How many pictures there are, and where."""
        return f"{min(len(self.names), MAX_PICTURES)} pictures in {self.folder / _PICTURES}"
