"""Data sets of image files with a class for every pixel, divided by their authors: Pascal VOC, Cityscapes, ADE20K."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

from lightning_cv.contracts import Stage
from lightning_cv.data.annotations.voc import VOC_CLASSES
from lightning_cv.data.class_folders import list_folder
from lightning_cv.data.divided import DividedData
from lightning_cv.data.masks.labels import Labels
from lightning_cv.data.masks.split import MaskSplit, listed_pairs, pairs_by_name, read_list
from lightning_cv.errors import DataError


class MaskedData(DividedData):
    """Images and masks of parts that are divided already; see `DividedData` for the arguments."""

    @abstractmethod
    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks.

        Raises:
            DataError: a list or folder is missing.
        """

    def load(self, stage: Stage) -> MaskSplit:
        """The images of one part and their masks."""
        self.refuse_fold()
        list_folder(self.root)
        return self.read(self.parts[stage])


class VocSegmentation(MaskedData):
    """Pascal VOC's segmentation: `JPEGImages`, `SegmentationClass`, `ImageSets/Segmentation/<part>.txt`.

    21 classes with the background; the pixels along the borders of objects (255) are ignored.

    Args:
        root: the folder, such as `VOCdevkit/VOC2012`.
        masks: the folder of the masks below it; those of Hariharan et al. 2011 are often in `SegmentationClassAug`.
        train: the list that trains, such as `train_aug` with these.
        val: the list that validates.
        class_names: null: the background, and the twenty of VOC.
        shared: `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        masks: str = "SegmentationClass",
        train: str = "train",
        val: str = "val",
        class_names: list[str] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        self.masks = masks
        self.class_names = tuple(class_names) if class_names else ("background", *VOC_CLASSES)

    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks."""
        listed = read_list(self.root / "ImageSets" / "Segmentation" / f"{part}.txt")
        # Lists of the larger set have the paths of both files in a line.
        names = [Path(words[0]).stem for words in listed]
        labels = Labels(self.class_names, tuple(range(len(self.class_names))), (255,))
        return MaskSplit(listed_pairs(names, self.root / "JPEGImages", self.root / self.masks), labels)


class Cityscapes(MaskedData):
    """Cityscapes: `leftImg8bit/<part>/<city>` and `gtFine/<part>/<city>`, the 19 classes that are evaluated (row 219).

    The masks are those with label ids (`_labelIds.png`); ids, names, colours and which are evaluated come from
    torchvision's copy of the data set's table. The others, and what is beyond the car, are ignored. Predicted label
    files have the ids again, as the benchmark's server takes them.

    Args:
        root: the folder.
        annotations: `gtFine`, or `gtCoarse`.
        train: the part that trains.
        val: the part that validates.
        shared: `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    def __init__(
        self,
        root: str,
        *,
        annotations: Literal["gtFine", "gtCoarse"] = "gtFine",
        train: str = "train",
        val: str = "val",
        **shared: Any,
    ) -> None:
        super().__init__(root=root, train=train, val=val, **shared)
        self.annotations = annotations

    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks."""
        pairs = pairs_by_name(
            self.root / "leftImg8bit" / part,
            self.root / self.annotations / part,
            image_end="_leftImg8bit",
            mask_end=f"_{self.annotations}_labelIds",
        )
        return MaskSplit(pairs, cityscapes_labels())


class Ade20k(MaskedData):
    """ADE20K's scene parsing benchmark: `images/<part>`, `annotations/<part>`, `objectInfo150.txt` (row 220).

    150 classes; 0 in a mask means none of them, and is ignored.

    Args:
        root: the folder, such as `ADEChallengeData2016`.
        train: the part that trains.
        val: the part that validates.
        shared: `test`, `on_corrupt`, see `DividedData`, and what every data set takes.
    """

    def __init__(self, root: str, *, train: str = "training", val: str = "validation", **shared: Any) -> None:
        super().__init__(root=root, train=train, val=val, **shared)

    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks."""
        names = ade20k_names(self.root / "objectInfo150.txt")
        labels = Labels(names, tuple(range(1, len(names) + 1)), (0,))
        return MaskSplit(pairs_by_name(self.root / "images" / part, self.root / "annotations" / part), labels)


def cityscapes_labels() -> Labels:
    """The classes that are evaluated, by their ids; all other ids are ignored."""
    from torchvision.datasets import Cityscapes as OfTorchvision

    table = OfTorchvision.classes
    taken = sorted((entry for entry in table if not entry.ignore_in_eval), key=lambda entry: entry.train_id)
    others = tuple(entry.id for entry in table if entry.ignore_in_eval and entry.id >= 0)
    colors = tuple((entry.color[0], entry.color[1], entry.color[2]) for entry in taken)
    names, values = tuple(entry.name for entry in taken), tuple(entry.id for entry in taken)
    return Labels(names, values, (*others, 255), colors)


def ade20k_names(path: Path) -> tuple[str, ...]:
    """The first name of each class, from `objectInfo150.txt`: columns divided by tabs, the last one `Name`.

    Raises:
        DataError: it is missing, or another file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise DataError(f"{path}: {reason}; allowed: the data set's table of classes") from error
    rows = [line.split("\t") for line in lines if line.strip()]
    numbered = [row for row in rows if row[0].strip().isdigit()]
    if not numbered or [int(row[0]) for row in numbered] != list(range(1, len(numbered) + 1)):
        raise DataError(f"{path}: no rows numbered from 1; allowed: the data set's table of classes")
    names = [row[-1].split(",")[0].split(";")[0].strip() for row in numbered]
    # Some classes share their first name.
    return tuple(name if names.count(name) == 1 else f"{name} ({number + 1})" for number, name in enumerate(names))
