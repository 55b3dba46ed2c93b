"""Which classes does a classifier take for which?"""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torchmetrics import Metric

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import PublishesInfo, Stage
from lightning_cv.errors import UserError
from lightning_cv.metrics import confusion_matrix
from lightning_cv.pictures import confusions_picture


@skip_idle_hooks
class ConfusionMatrix(Callback):
    """Counts of each label (row) predicted as each class (column), exact over devices.

    After each validation and test, `confusion_matrix_<stage>.csv` in the run folder holds the counts of the
    whole set, and `confusion_matrix_<stage>.png` shows them as shares of each row. `Media` shows the same picture
    every few epochs, to the trackers too; this is for the table.

    Args:
        on_validation: also count and draw every validation set; test sets always are.

    Raises:
        UserError: data without class names, or multilabel data.
    """

    def __init__(self, on_validation: bool = False) -> None:
        self.on_validation = on_validation
        self._metric: Metric | None = None
        self._class_names: tuple[str, ...] = ()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count anew."""
        if self.on_validation:
            self._start(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count anew."""
        self._start(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Count one batch."""
        if self.on_validation and self._metric is not None:
            self._metric.update(outputs["predictions"], outputs["targets"])

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Count one batch."""
        assert self._metric is not None
        self._metric.update(outputs["predictions"], outputs["targets"])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the counts of the validation set."""
        if self.on_validation:
            self._finish(trainer, Stage.VAL)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the counts of the test set."""
        self._finish(trainer, Stage.TEST)

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, PublishesInfo):
            raise UserError("ConfusionMatrix: the data publish no class names; use a data set of lightning_cv")
        if data.info.multilabel:
            raise UserError("ConfusionMatrix: the data are multilabel; allowed: one label an image")
        self._class_names = data.info.class_names
        with torch.inference_mode(False):
            self._metric = confusion_matrix(len(self._class_names)).to(pl_module.device)

    def _finish(self, trainer: Trainer, stage: Stage) -> None:
        assert self._metric is not None
        counts: list[list[int]] = self._metric.compute().tolist()
        if trainer.is_global_zero and not trainer.sanity_checking:
            path = Path(trainer.default_root_dir) / f"confusion_matrix_{stage}"
            write_counts(path.with_suffix(".csv"), counts, self._class_names)
            confusions_picture(torch.tensor(counts), self._class_names).save(path.with_suffix(".png"))


def write_counts(path: Path, counts: list[list[int]], class_names: tuple[str, ...]) -> None:
    """Write a table with the label in the first column and a column for each predicted class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *class_names])
        writer.writerows([name, *row] for name, row in zip(class_names, counts, strict=True))
