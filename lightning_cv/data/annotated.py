"""Data sets of image files with objects: COCO, Pascal VOC, YOLO."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.contracts import Stage
from lightning_cv.data.annotations.checks import report_problems
from lightning_cv.data.annotations.coco import read_coco
from lightning_cv.data.annotations.raw import Annotations
from lightning_cv.data.annotations.split import AnnotatedSplit
from lightning_cv.data.annotations.voc import VOC_CLASSES, read_voc
from lightning_cv.data.annotations.yolo import read_yolo
from lightning_cv.data.class_folders import list_folder
from lightning_cv.data.divided import DividedData
from lightning_cv.errors import UserError


class _AnnotatedData(DividedData):
    """What the three share: strictness.

    Args:
        strict: refuse annotations that are wrong; else what can be cut off is, the rest left out, and a line says so.
        empty_images: train on images without objects too.
        shared: `root`, `train`, `val`, `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    masks: bool = False

    def __init__(self, *, strict: bool = False, empty_images: bool = True, **shared: Any) -> None:
        super().__init__(**shared)
        self.refuse_fold()
        self.strict = strict
        self.empty_images = empty_images

    @abstractmethod
    def read(self, part: str) -> Annotations:
        """The annotations of one part, checked.

        Raises:
            DataError: a file is missing or of another format.
        """

    def load(self, stage: Stage) -> AnnotatedSplit:
        """The images of one part with their objects."""
        part = self.parts[stage]
        annotations = self.read(part)
        line = report_problems(annotations.problems, strict=self.strict, title=f"{type(self).__name__} {part}")
        if line is not None:
            rank_zero_warn(line)
        leave_out = stage is Stage.TRAIN and not self.empty_images
        split = AnnotatedSplit(annotations, 3, masks=self.masks, only_with_objects=leave_out)
        if not len(split):
            raise UserError(f"data.init_args: {type(self).__name__} {part} has no images that can be used")
        return split


class Coco(_AnnotatedData):
    """COCO, and any data set in its format: boxes, instance masks, keypoints, crowds.

    Files are `<root>/<annotations>` and images in `<root>/<images>`, with `{part}` for the part.

    Args:
        root: the folder.
        annotations: a file below it for each part; for keypoints `annotations/person_keypoints_{part}.json`.
        images: a folder below it for each part.
        train: the part that trains.
        val: the part that validates.
        classes: "listed": the categories in the order of their ids; "ids": class k is category k + 1, with names for
            the ids that there are not, as the published networks of torchvision have it (90 for COCO).
        masks: give masks.
        keypoints: give keypoints; only categories with keypoints are classes then.
        shared: `test`, `strict`, `empty_images`, `on_corrupt`, see `_AnnotatedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        annotations: str = "annotations/instances_{part}.json",
        images: str = "{part}",
        train: str = "train2017",
        val: str = "val2017",
        classes: Literal["listed", "ids"] = "listed",
        masks: bool = False,
        keypoints: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        self.annotations = annotations
        self.images = images
        self.classes: Literal["listed", "ids"] = classes
        self.masks = masks
        self.keypoints = keypoints

    def read(self, part: str) -> Annotations:
        """The annotations of one part, checked."""
        list_folder(self.root)
        file = self.root / self.annotations.replace("{part}", part)
        folder = self.root / self.images.replace("{part}", part)
        return read_coco(file, folder, classes=self.classes, masks=self.masks, keypoints=self.keypoints)


class Voc(_AnnotatedData):
    """Pascal VOC, and any data set in its format: `JPEGImages`, `Annotations`, `ImageSets/Main/<part>.txt`.

    Difficult objects are not trained on, and need not be found.

    Args:
        root: the folder, such as `VOCdevkit/VOC2012`.
        train: the list that trains.
        val: the list that validates.
        class_names: null: the twenty of VOC.
        shared: `test`, `strict`, `empty_images`, `on_corrupt`, see `_AnnotatedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        train: str = "train",
        val: str = "val",
        class_names: list[str] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        self.class_names = tuple(class_names) if class_names else VOC_CLASSES

    def read(self, part: str) -> Annotations:
        """The annotations of one part, checked."""
        list_folder(self.root)
        return read_voc(self.root, part, self.class_names)


class Yolo(_AnnotatedData):
    """Text files of YOLO's format: a line an object with class, middle, width and height as shares of the image.

    Args:
        root: the YAML file with `names`, `train`, `val`, or the folder with `data.yaml`.
        train: the key of the part that trains.
        val: the key of the part that validates.
        shared: `test`, `strict`, `empty_images`, `on_corrupt`, see `_AnnotatedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        train: str = "train",
        val: str = "val",
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)

    @cached_property
    def file(self) -> Path:
        """The YAML file."""
        return self.root / "data.yaml" if self.root.is_dir() else self.root

    def read(self, part: str) -> Annotations:
        """The annotations of one part, checked."""
        return read_yolo(self.file, part)
