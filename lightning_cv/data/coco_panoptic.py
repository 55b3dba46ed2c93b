"""COCO's panoptic segmentation, and any data set in its format, such as that of Cityscapes."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.contracts import Stage
from lightning_cv.data.annotations.checks import report_problems
from lightning_cv.data.class_folders import list_folder
from lightning_cv.data.divided import DividedData
from lightning_cv.data.masks.panoptic import PanopticSplit, Truth, read_panoptic
from lightning_cv.errors import UserError


class CocoPanoptic(DividedData):
    """Every pixel has a class, and things are told apart (Kirillov et al. 2019; row 223).

    Args:
        root: the folder.
        truth: `panoptic`: the class and the segment of each pixel; `semantic`: its class.
        annotations: a file below the root for each part, with `{part}` for the part.
        masks: the folder below the root with the PNG files in whose colours the segments' numbers are.
        images: a folder below the root for each part.
        train: the part that trains.
        val: the part that validates.
        strict: refuse a file in which something is wrong; else it is left out, and a line says so.
        shared: `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        truth: Truth = "panoptic",
        annotations: str = "annotations/panoptic_{part}.json",
        masks: str = "annotations/panoptic_{part}",
        images: str = "{part}",
        train: str = "train2017",
        val: str = "val2017",
        strict: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        self.refuse_fold()
        if truth not in ("panoptic", "semantic"):
            raise UserError(f"data.init_args.truth: {truth} given, allowed: panoptic, semantic")
        self.truth: Truth = truth
        self.places = (annotations, images, masks)
        self.strict = strict

    def load(self, stage: Stage) -> PanopticSplit:
        """The images of one part with their segments."""
        list_folder(self.root)
        part = self.parts[stage]
        file, images, masks = (self.root / place.replace("{part}", part) for place in self.places)
        annotations = read_panoptic(file, images, masks)
        line = report_problems(annotations.problems, strict=self.strict, title=f"CocoPanoptic {part}")
        if line is not None:
            rank_zero_warn(line)
        if not annotations.images:
            raise UserError(f"data.init_args: CocoPanoptic {part} has no images that can be used")
        return PanopticSplit(annotations, self.truth)
