"""Data sets of image files with a class for every pixel: folders, Pascal VOC, Oxford-IIIT Pet, Cityscapes, ADE20K."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.annotations.voc import VOC_CLASSES
from lightning_cv.data.base import VisionData
from lightning_cv.data.class_folders import list_folder
from lightning_cv.data.downloads import open_torchvision
from lightning_cv.data.masks.labels import Labels, labels_from
from lightning_cv.data.masks.split import MaskSplit, listed_pairs, pairs_by_name, read_list
from lightning_cv.data.partition import check_fraction, hold_out
from lightning_cv.errors import DataError, UserError

OnCorrupt = Literal["error", "skip"]


class _MaskedData(VisionData):
    """What those share whose parts are divided already.

    Args:
        root: where the files are.
        train: the part that trains.
        val: the part that validates.
        test: the part that tests and is predicted; null: that of validation.
        on_corrupt: "error" ends the run at an image or a mask that cannot be used; "skip" leaves it out.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str,
        val: str,
        test: str | None = None,
        on_corrupt: OnCorrupt = "error",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.root = Path(root).expanduser()
        self.parts = {Stage.TRAIN: train, Stage.VAL: val, Stage.TEST: test or val, Stage.PREDICT: test or val}
        self.on_corrupt = on_corrupt

    @abstractmethod
    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks.

        Raises:
            DataError: a list or folder is missing.
        """

    def load(self, stage: Stage) -> MaskSplit:
        """The images of one part and their masks."""
        if self.fold is not None:
            raise UserError("data.init_args.fold: the data set has a validation part of its own; allowed: null")
        list_folder(self.root)
        return self.read(self.parts[stage])


class MaskFolder(_MaskedData):
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
        shared: `test`, `on_corrupt`, see `_MaskedData`, and what every data set takes.
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


class VocSegmentation(_MaskedData):
    """Pascal VOC's segmentation: `JPEGImages`, `SegmentationClass`, `ImageSets/Segmentation/<part>.txt`.

    21 classes with the background; the pixels along the borders of objects (255) are ignored.

    Args:
        root: the folder, such as `VOCdevkit/VOC2012`.
        masks: the folder of the masks below it; those of Hariharan et al. 2011 are often in `SegmentationClassAug`.
        train: the list that trains, such as `train_aug` with these.
        val: the list that validates.
        class_names: null: the background, and the twenty of VOC.
        shared: `test`, `on_corrupt`, see `_MaskedData`, and what every data set takes.
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


class Cityscapes(_MaskedData):
    """Cityscapes: `leftImg8bit/<part>/<city>` and `gtFine/<part>/<city>`, the 19 classes that are evaluated (row 219).

    The masks are those with label ids (`_labelIds.png`); ids, names, colours and which are evaluated come from
    torchvision's copy of the data set's table. The others, and what is beyond the car, are ignored. Predicted label
    files have the ids again, as the benchmark's server takes them.

    Args:
        root: the folder.
        annotations: `gtFine`, or `gtCoarse`.
        train: the part that trains.
        val: the part that validates.
        shared: `test`, `on_corrupt`, see `_MaskedData`, and what every data set takes.
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


class Ade20k(_MaskedData):
    """ADE20K's scene parsing benchmark: `images/<part>`, `annotations/<part>`, `objectInfo150.txt` (row 220).

    150 classes; 0 in a mask means none of them, and is ignored.

    Args:
        root: the folder, such as `ADEChallengeData2016`.
        train: the part that trains.
        val: the part that validates.
        shared: `test`, `on_corrupt`, see `_MaskedData`, and what every data set takes.
    """

    def __init__(self, root: str, *, train: str = "training", val: str = "validation", **shared: Any) -> None:
        super().__init__(root=root, train=train, val=val, **shared)

    def read(self, part: str) -> MaskSplit:
        """The images of one part and their masks."""
        names = ade20k_names(self.root / "objectInfo150.txt")
        labels = Labels(names, tuple(range(1, len(names) + 1)), (0,))
        return MaskSplit(pairs_by_name(self.root / "images" / part, self.root / "annotations" / part), labels)


class Pets(VisionData):
    """Oxford-IIIT Pet: a pet, what is behind it, and the pixels along its border that nobody could tell.

    Files are as torchvision downloads them: `root/oxford-iiit-pet/images` and `annotations`. A part of `trainval`
    validates, each breed with its share.

    Args:
        root: folder that holds, or will hold, `oxford-iiit-pet`.
        border: whether the border is a class of its own, or ignored.
        download: download them if they are not there.
        val_fraction: part of the training images that validates, in [0, 1).
        on_corrupt: "error" ends the run at an image or a mask that cannot be used; "skip" leaves it out.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        root: str = "datasets",
        *,
        border: Literal["class", "ignored"] = "class",
        download: bool = True,
        val_fraction: float = 0.1,
        on_corrupt: OnCorrupt = "error",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_fraction("val_fraction", val_fraction)
        if border not in ("class", "ignored"):
            raise UserError(f"data.init_args.border: {border} given, allowed: class, ignored")
        self.root = Path(root).expanduser()
        self.border = border
        self.download = download
        self.val_fraction = val_fraction
        self.on_corrupt = on_corrupt

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.root / "oxford-iiit-pet"

    def prepare_data(self) -> None:
        """Download what is missing, on one process of each machine."""
        if self.download and not (self.folder / "annotations" / "trainval.txt").is_file():
            from torchvision.datasets import OxfordIIITPet

            open_torchvision(
                lambda download: OxfordIIITPet(self.root, target_types="segmentation", download=download),
                title="Pets",
                root=str(self.root),
                download=True,
            )

    def load(self, stage: Stage) -> MaskSplit:
        """The images of one part and their masks; prediction takes those of the test."""
        training = stage in (Stage.TRAIN, Stage.VAL)
        listed = read_list(self.folder / "annotations" / f"{'trainval' if training else 'test'}.txt")
        names = ("pet", "background", "border")
        labels = Labels(names, (1, 2, 3)) if self.border == "class" else Labels(names[:2], (1, 2), (3,))
        masks = self.folder / "annotations" / "trimaps"
        split = MaskSplit(listed_pairs([words[0] for words in listed], self.folder / "images", masks), labels)
        if not training:
            return split
        breeds = torch.tensor([int(words[1]) if len(words) > 1 and words[1].isdigit() else 0 for words in listed])
        kept, held_out = self.hold_out_validation(breeds, self.val_fraction)
        return split.subset(kept if stage is Stage.TRAIN else held_out)


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
