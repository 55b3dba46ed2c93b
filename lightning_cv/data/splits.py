"""What does a data set hand to the platform for each split?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from lightning_cv.contracts import KeypointSet, Objects, Pixels, PixelSet, Stage

Target = Tensor | Objects | Pixels | None


@runtime_checkable
class Split(Protocol):
    """A map-style data set that can name its classes and its samples.

    `split[index]` is the image, uint8 (C, H, W), and its target: an int64 scalar, a float32 (C,) vector for
    multilabel data, `Objects`, `Pixels`, or None where there is none. An image that cannot be read raises
    `UnreadableImageError`. A split of images with objects says what keypoints they have in an attribute `keypoints`;
    one whose pixels have classes what these are in an attribute `pixels`.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the label indices."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> "tuple[Tensor, Target]": ...

    def name(self, index: int) -> str:
        """What to call a sample in messages: its path where it is a file."""
        ...


@dataclass(frozen=True)
class ResidentSplit:
    """A split whose images all fit in memory and have one size.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 class indices, or (N, classes) float32 in [0, 1] for multilabel data.
        class_names: one name a class, in the order of the label indices.
        title: what to call the split in messages, e.g. "Cifar10 train".
        source_index: (N,) int64 position of each sample in the source it comes from; None: the same.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    title: str
    source_index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def name(self, index: int) -> str:
        """`<title> #<position in the split>`."""
        return f"{self.title} #{index}"

    def subset(self, positions: Tensor, title: str) -> "ResidentSplit":
        """The samples at `positions` (n,) int64 as a split of their own."""
        return ResidentSplit(self.images[positions], self.labels[positions], self.class_names, title, positions)


def keypoints_of(split: Split) -> KeypointSet | None:
    """What keypoints the objects of a split have."""
    return getattr(split, "keypoints", None)


def pixels_of(split: Split) -> PixelSet | None:
    """What the classes of the pixels of a split are."""
    return getattr(split, "pixels", None)


class UnreadableImageError(Exception):
    """An image file that cannot be decoded: its path and the reason, in one line."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.path}: cannot be read as an image ({self.reason})"


# The parts of a data set that each of Lightning's stages reads.
PARTS: dict[str, Sequence[Stage]] = {
    "fit": (Stage.TRAIN, Stage.VAL),
    "validate": (Stage.VAL,),
    "test": (Stage.TEST,),
    "predict": (Stage.PREDICT,),
}
