"""The Oxford-IIIT Pet data set, with a class for every pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.divided import OnCorrupt
from lightning_cv.data.downloads import open_torchvision
from lightning_cv.data.masks.labels import Labels
from lightning_cv.data.masks.split import MaskSplit, listed_pairs, read_list
from lightning_cv.data.partition import check_fraction
from lightning_cv.errors import UserError


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
