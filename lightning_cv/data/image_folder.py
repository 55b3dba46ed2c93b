"""Any folder of class folders of image files: with train, val and test parts, or divided here."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torchvision.transforms import v2

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.class_folders import FileSplit, find_images, list_folder, scan_class_folders
from lightning_cv.data.partition import check_fraction, hold_out
from lightning_cv.errors import UserError


class ImageFolder(VisionData):
    """Image files whose folder is their class.

    Two layouts are read: `root/train/<class>/...` with `root/val` and `root/test` beside it (as ImageNet is
    kept; without `val`, a part of the training images validates), and `root/<class>/...`, from which
    validation and test images are held out. Held-out parts have the proportions of the classes.

    Args:
        root: the folder.
        size_px: images are resized, the shorter side to this, and the square in the middle is cut out, where
            train_transform or eval_transform does not say otherwise; null: the images have one size already.
        channels: 3 reads every image as RGB, 1 as grey.
        val_fraction: part of the training images that validates where there is no `val` folder, in [0, 1).
        test_fraction: part of all images that is held out for test where there is no `train` folder.
        predict_root: folder with the images to predict, in any sub-folders or none; null: the test images.
        on_corrupt: "error" ends the run at an image that cannot be read; "skip" leaves it out of its batch,
            and reports how many there were once an epoch.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        root: str,
        size_px: int | None = None,
        *,
        channels: Literal[1, 3] = 3,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        predict_root: str | None = None,
        on_corrupt: Literal["error", "skip"] = "error",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_fraction("val_fraction", val_fraction)
        check_fraction("test_fraction", test_fraction)
        self.root = Path(root).expanduser()
        self.channels = channels
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.predict_root = predict_root
        self.on_corrupt = on_corrupt
        if size_px is not None:
            if size_px < 1:
                raise UserError(f"data.init_args.size_px: {size_px} given, allowed: 1 or more")
            centre = v2.Compose([v2.Resize(size_px, antialias=True), v2.CenterCrop(size_px)])
            self.train_transform = self.train_transform or centre
            self.eval_transform = self.eval_transform or centre

    def load(self, stage: Stage) -> FileSplit:
        """The files of one part."""
        list_folder(self.root)
        if stage is Stage.PREDICT and self.predict_root is not None:
            class_names = self._training_images.class_names
            paths = tuple(find_images(Path(self.predict_root).expanduser(), "predict_root"))
            return FileSplit(paths, None, class_names, self.channels)
        if stage in (Stage.TRAIN, Stage.VAL):
            return self._training_part(stage)
        if not self._is_divided:
            everything = self._training_images
            return everything.subset(self._hold_out_test(everything)[1])
        return self._part("test")

    @property
    def _is_divided(self) -> bool:
        return (self.root / "train").is_dir()

    @cached_property
    def _training_images(self) -> FileSplit:
        """All images from which training, and where need be the other parts, are taken."""
        return scan_class_folders(self.root / "train" if self._is_divided else self.root, self.channels)

    def _training_part(self, stage: Stage) -> FileSplit:
        images = self._training_images
        if self._is_divided and (self.root / "val").is_dir():
            if self.fold is not None:
                raise UserError(f"data.init_args.fold: {self.root} has a val folder; allowed: a train folder alone")
            return images if stage is Stage.TRAIN else self._part("val")
        if not self._is_divided:
            images = images.subset(self._hold_out_test(images)[0])
        assert images.labels is not None
        kept, held_out = self.hold_out_validation(images.labels, self.val_fraction)
        return images.subset(kept if stage is Stage.TRAIN else held_out)

    def _part(self, name: str) -> FileSplit:
        return scan_class_folders(self.root / name, self.channels, self._training_images.class_names)

    def _hold_out_test(self, images: FileSplit) -> tuple[Tensor, Tensor]:
        assert images.labels is not None
        return hold_out(images.labels, self.test_fraction, seed=self.split_seed)
