"""How do translated images become files?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_cv.contracts import DataInfo
from lightning_cv.data import VisionData
from lightning_cv.pictures.sheet import save_image
from lightning_cv.run.prediction_files import PredictionFiles


class ImageFiles(PredictionFiles):
    """A PNG for each image and each way in which it was translated.

    Args:
        home: see `PredictionFiles`.
        data: see `PredictionFiles`.
        ways: names of the ways, a folder each, by what the data publish.
    """

    def __init__(self, home: Path, data: VisionData, ways: Callable[[DataInfo], tuple[str, ...]]) -> None:
        super().__init__(home, data)
        self._ways = ways

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook: a folder for each way."""
        self.folders = self._ways(self.data.info)
        super().setup(trainer, pl_module, stage)

    def write(self, index: int, prediction: Tensor) -> None:
        """The translations (K, C, H, W) in [0, 1] of one image."""
        for way, image in zip(self.folders, prediction.cpu(), strict=True):
            save_image(image, self.folder / way / f"{self.names[index]}.png")

    def lines(self) -> list[str]:
        """See `PredictionFiles`."""
        return [f"{len(self.names)} images in {self.folder / way}" for way in self.folders]
