"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn brings along: no download."""

from typing import Any, Literal

import torch
from torchvision.transforms.v2 import functional as transform_functions

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.partition import balanced, check_fraction, hold_out
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError


class Digits(VisionData):
    """Optical recognition of handwritten digits (UCI), 10 classes.

    A pixel is a number 0 ... 16; it becomes round(v x 255 / 16), halves up: 0 ... 255. A fifth is held out
    for test and a part of the rest for validation, in the proportions of the classes.

    Args:
        size_px: side of the images, 8 or more; above 8 they are enlarged (bilinear).
        channels: 1, or 3 with the grey value in each, for networks that take nothing else.
        num_train: how many of the training samples are kept, as many of each class as can be, drawn by split_seed: as
            if the labels of the others were not known; null: all.
        val_fraction: part of the training samples (those not held out for test) that validates, in [0, 1).
        test_fraction: part of all samples that is held out for test, in [0, 1).
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        size_px: int = 8,
        *,
        channels: Literal[1, 3] = 1,
        num_train: int | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if size_px < 8:
            raise UserError(f"data.init_args.size_px: {size_px} given, allowed: 8 or more")
        if channels not in (1, 3):
            raise UserError(f"data.init_args.channels: {channels} given, allowed: 1, 3")
        if num_train is not None and num_train < 1:
            raise UserError(f"data.init_args.num_train: {num_train} given, allowed: 1 or more, or null")
        check_fraction("val_fraction", val_fraction)
        check_fraction("test_fraction", test_fraction)
        self.size_px = size_px
        self.channels = channels
        self.num_train = num_train
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction

    def load(self, stage: Stage) -> ResidentSplit:
        """One part of the digits; prediction takes the test part."""
        # Imported late, since scikit-learn takes a second that other data sets need not wait.
        from sklearn.datasets import load_digits

        bunch = load_digits()
        values = torch.from_numpy(bunch.images).to(torch.int64).unsqueeze(1)
        images = ((values * 255 + 8) // 16).to(torch.uint8)
        if self.size_px != images.shape[-1]:
            images = transform_functions.resize(images, [self.size_px, self.size_px])
        images = images.expand(-1, self.channels, -1, -1).contiguous()
        labels = torch.from_numpy(bunch.target).to(torch.int64)
        names = tuple(str(name) for name in bunch.target_names)
        digits = ResidentSplit(images, labels, names, "Digits")
        development, test = hold_out(labels, self.test_fraction, seed=self.split_seed)
        kept, held_out = self.hold_out_validation(labels[development], self.val_fraction)
        trained = development[kept]
        if self.num_train is not None:
            trained = trained[balanced(labels[trained], self.num_train, seed=self.split_seed)]
        positions = {Stage.TRAIN: trained, Stage.VAL: development[held_out]}
        return digits.subset(positions.get(stage, test), f"Digits {stage}")
