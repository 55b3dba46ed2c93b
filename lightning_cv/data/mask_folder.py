"""Any folder of images and one of masks, with a class for every pixel."""

from __future__ import annotations

from typing import Any, Literal

import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.class_folders import list_folder
from lightning_cv.data.masks.labels import labels_from
from lightning_cv.data.masks.split import MaskSplit, pairs_by_name
from lightning_cv.data.partition import check_fraction, hold_out
from lightning_cv.data.segmented import MaskedData


class MaskFolder(MaskedData):
    """A folder of images and a folder of masks: `root/images/<part>/...` and `root/masks/<part>/...`, names alike.

    Without a folder for the training part, `root/images/...` and `root/masks/...` are all images, of which those of
    validation and test are held out.

    What the values of the masks mean is stated, never guessed: `labels`, or a file `root/labels.yaml` with the same.

    Args:
        root: the folder.
        images: of the images, below it, with `{part}` for the part.
        masks: of the masks, below it.
        labels: name of each class and its number in the masks ({background: 0, cat: 1}), or its colour in them
            ({road: [128, 64, 128]}); null: `labels.yaml` in the root.
        ignored: numbers of pixels that nobody knows.
        channels: 3 reads every image as RGB, 1 as grey.
        train: the part that trains.
        val: the part that validates.
        val_fraction: part of the training images that validates where they are not divided, in [0, 1).
        test_fraction: part of all images that is held out for test where they are not divided.
        shared: `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        images: str = "images/{part}",
        masks: str = "masks/{part}",
        labels: dict[str, Any] | None = None,
        ignored: list[int] | None = None,
        channels: Literal[1, 3] = 3,
        train: str = "train",
        val: str = "val",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        check_fraction("val_fraction", val_fraction)
        check_fraction("test_fraction", test_fraction)
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.images = images
        self.masks = masks
        self.labels = labels
        self.ignored = [255] if ignored is None else ignored
        self.channels = channels

    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks."""
        labels = labels_from(self.root / "labels.yaml" if self.labels is None else self.labels, self.ignored)
        folders = [self.root / folder.replace("{part}", part) for folder in (self.images, self.masks)]
        return MaskSplit(pairs_by_name(*folders), labels, self.channels)

    def load(self, stage: Stage) -> MaskSplit:
        """The images of one part and their masks."""
        train = self.images.replace("{part}", self.parts[Stage.TRAIN])
        if train != self.images and (self.root / train).is_dir():
            return super().load(stage)
        list_folder(self.root)
        whole = self.read("")
        rest, test = hold_out(torch.zeros(len(whole), dtype=torch.int64), self.test_fraction, seed=self.split_seed)
        if stage in (Stage.TEST, Stage.PREDICT):
            return whole.subset(test)
        kept, held_out = self.hold_out_validation(torch.zeros(len(rest), dtype=torch.int64), self.val_fraction)
        return whole.subset(rest[kept if stage is Stage.TRAIN else held_out])
