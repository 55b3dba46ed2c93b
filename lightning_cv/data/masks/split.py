"""How do an image file and its mask become an image and the classes of its pixels?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lightning_cv.contracts import Pixels, PixelSet
from lightning_cv.data.decode import is_image, read_image
from lightning_cv.data.masks.labels import Labels, palette_of
from lightning_cv.errors import DataError

Pair = tuple[str, str]  # paths of an image and its mask


class MaskSplit:
    """A split of image files with a mask each, read when asked for.

    Args:
        pairs: paths of the images and of their masks.
        labels: what the values of the masks mean; colours are those of the first mask's palette, where it has one.
        channels: 3 for RGB, 1 for grey.
    """

    def __init__(self, pairs: Sequence[Pair], labels: Labels, channels: int = 3) -> None:
        self.pairs = list(pairs)
        self.labels = labels
        self.pixels: PixelSet = labels.pixel_set(palette_of(Path(self.pairs[0][1])) if self.pairs else None)
        self._channels = channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the class indices."""
        return self.labels.names

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Pixels]:
        path, mask = self.pairs[index]
        image = read_image(Path(path), self._channels)
        return image, Pixels(self.labels.read(Path(mask), (image.shape[-2], image.shape[-1])))

    def name(self, index: int) -> str:
        """The path of the image."""
        return self.pairs[index][0]

    def subset(self, positions: Tensor) -> MaskSplit:
        """The images at `positions` (n,) int64 as a split of their own."""
        return MaskSplit([self.pairs[position] for position in positions.tolist()], self.labels, self._channels)


def pairs_by_name(images: Path, masks: Path, *, image_end: str = "", mask_end: str = "") -> list[Pair]:
    """Images below one folder, and of each the mask at the same place below another, with any suffix of an image.

    Args:
        images: the folder.
        masks: the other one.
        image_end: how the names of the images end, before the suffix; others are passed over.
        mask_end: what stands in its place in the name of the mask.

    Raises:
        DataError: there is no image, or one has no mask: names the first, and how many there are.
    """
    stems = {path.relative_to(masks).with_suffix("") for path in _images_below(masks)}
    suffixes = {path.relative_to(masks).with_suffix(""): path.suffix for path in _images_below(masks)}
    pairs: list[Pair] = []
    without: list[Path] = []
    for image in _images_below(images):
        stem = image.relative_to(images).with_suffix("")
        if not stem.name.endswith(image_end):
            continue
        wanted = stem.with_name(stem.name[: len(stem.name) - len(image_end)] + mask_end)
        if wanted in stems:
            pairs.append((str(image), str(masks / wanted) + suffixes[wanted]))
        else:
            without.append(image)
    if without:
        more = f" (nor have {len(without) - 1} more)" if len(without) > 1 else ""
        raise DataError(f"{without[0]}: the image has no mask{more}; allowed: one of the same name below {masks}")
    if not pairs:
        raise DataError(f"data.init_args.root: {images} holds no images; allowed: images, and their masks in {masks}")
    return pairs


def listed_pairs(names: Sequence[str], images: Path, masks: Path) -> list[Pair]:
    """Pairs of JPEG images and PNG masks of these names; what is missing is told where it is read."""
    return [(str(images / f"{name}.jpg"), str(masks / f"{name}.png")) for name in names]


def read_list(path: Path) -> list[list[str]]:
    """The words of each line of a list of images; empty lines, and those that begin with #, are passed over.

    Raises:
        DataError: it is missing or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise DataError(f"data.init_args: {path}: {reason}; allowed: a list of images") from error
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if not words:
        raise DataError(f"data.init_args: {path}: empty; allowed: a list of images")
    return words


def _images_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"data.init_args.root: {folder} is no folder; allowed: a folder with images, or masks, in it")
    return sorted(path for path in folder.rglob("*") if is_image(path.name))
