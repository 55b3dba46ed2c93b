"""Which images are in a tree of folders, and to which class does each belong?"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_cv.contracts import DataInfo
from lightning_cv.data.decode import SUFFIXES, is_image, read_image
from lightning_cv.errors import DataError


@dataclass(frozen=True)
class FileSplit:
    """Image files with a class each, read when asked for.

    Args:
        paths: N files.
        labels: (N,) int64 class indices; None where the images have no known class.
        class_names: one name a class.
        channels: 3 for RGB, 1 for grey.
    """

    paths: tuple[str, ...]
    labels: Tensor | None
    class_names: tuple[str, ...]
    channels: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | None]:
        image = read_image(Path(self.paths[index]), self.channels)
        return image, None if self.labels is None else self.labels[index]

    def name(self, index: int) -> str:
        """The path of the file."""
        return self.paths[index]

    def subset(self, positions: Tensor) -> "FileSplit":
        """The files at `positions` (n,) int64 as a split of their own."""
        assert self.labels is not None
        paths = tuple(self.paths[position] for position in positions.tolist())
        return FileSplit(paths, self.labels[positions], self.class_names, self.channels)


def scan_class_folders(folder: Path, channels: int, class_names: tuple[str, ...] | None = None) -> FileSplit:
    """All images below the class folders of `folder`, class by class in alphabetical order.

    Args:
        folder: its sub-folders are the classes.
        channels: 3 for RGB, 1 for grey.
        class_names: the classes to which the folders must belong; None: the folders are the classes.

    Raises:
        DataError: there is no class folder, one without images, or one that is none of `class_names`.
    """
    found = [child.name for child in list_folder(folder) if child.is_dir() and not child.name.startswith(".")]
    if not found:
        raise DataError(f"data.init_args.root: {folder} has no class folders, allowed: one sub-folder a class")
    names = class_names or tuple(found)
    for name in found:
        if name not in names:
            raise DataError(
                f"data.init_args.root: {folder / name} is a class that the training images lack, "
                f"allowed: {_shortened(names)}"
            )
    paths: list[str] = []
    labels: list[int] = []
    for name in found:
        images = find_images(folder / name)
        paths += images
        labels += [names.index(name)] * len(images)
    return FileSplit(tuple(paths), torch.tensor(labels, dtype=torch.int64), names, channels)


def find_images(folder: Path, key: str = "root") -> list[str]:
    """All images in `folder` and below it, in alphabetical order.

    Raises:
        DataError: there is none.
    """
    list_folder(folder, key)
    images = []
    for parent, children, files in os.walk(folder, followlinks=True):
        children[:] = sorted(child for child in children if not child.startswith("."))
        # Strings: a million of Path objects would take some seconds and half a gigabyte.
        images += [f"{parent}{os.sep}{name}" for name in sorted(files) if is_image(name)]
    if not images:
        raise DataError(
            f"data.init_args.{key}: {folder} holds no images, allowed: files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return images


def read_pictures(path: Path, info: DataInfo) -> FileSplit:
    """An image file, or all images in a folder and below it, without known classes.

    Raises:
        DataError: no such file, or no image in the folder.
    """
    paths = (str(path),) if path.is_file() else tuple(find_images(path, "images"))
    return FileSplit(paths, None, info.class_names, info.channels)


def list_folder(folder: Path, key: str = "root") -> list[Path]:
    """What is in `folder`, in alphabetical order.

    Raises:
        DataError: it is no folder, or it may not be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"data.init_args.{key}: {folder} given ({error.strerror}), allowed: a folder of images that can be read"
        ) from error


def _shortened(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" ... ({len(names)} classes)" if len(names) > 10 else "")
