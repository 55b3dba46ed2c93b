"""What do data sets, networks and tasks know of the pixels of images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # class of a pixel that nobody knows: torch's losses leave it out
VOID = -1  # segment of a pixel that belongs to nothing
CROWD_SEGMENT = -2  # segment of a pixel of many things of its class that are not told apart
Color = tuple[int, int, int]  # RGB, each 0 to 255


@dataclass(frozen=True)
class PixelSet:
    """What a data set says of the classes of its pixels, in the order of the class indices.

    Args:
        colors: in which it shows each.
        values: what stands for each in its files.
        things: whether pixels of each are told apart by instance; None: it has no segments.
    """

    colors: tuple[Color, ...]
    values: tuple[int, ...]
    things: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class Pixels:
    """What the pixels of one image belong to.

    Args:
        classes: (H, W) int16 class index, or `IGNORED`.
        segments: (H, W) int32 number of the segment, or `VOID`, `CROWD_SEGMENT`; all pixels of a segment are of one
            class. None: not known.
    """

    classes: Tensor
    segments: Tensor | None = None


@dataclass(frozen=True)
class Panoptic:
    """Every pixel belongs to one segment, or to none.

    Args:
        segments: (H, W) int64 number of each pixel's segment, or `VOID`.
        labels: (S,) int64 class of each segment.
        is_thing: (S,) bool: an instance of a thing; else all pixels of a class of stuff.
    """

    segments: Tensor
    labels: Tensor
    is_thing: Tensor

    @property
    def classes(self) -> Tensor:
        """(H, W) int64 class of each pixel, or `VOID`: the semantic output (row 222)."""
        if not len(self.labels):
            return self.segments.new_full(self.segments.shape, VOID)
        return self.labels[self.segments.clamp(min=0)].where(self.segments >= 0, VOID)


@dataclass(frozen=True)
class PanopticOutput:
    """What a panoptic network says of a batch.

    Args:
        losses: named scalars, means over the batch; empty where no truth was given.
        found: one an image; empty in training.
    """

    losses: Mapping[str, Tensor] = field(default_factory=dict)
    found: Sequence[Panoptic] = ()


class PanopticNetwork(Protocol):
    """A network that gives every pixel a class, and tells things apart.

    `things` says of each class whether it is one of things.
    """

    num_classes: int
    things: tuple[bool, ...]

    def __call__(self, images: Tensor, sizes: Tensor, truth: Sequence[Pixels] | None = None) -> PanopticOutput:
        """Losses in training; else what is found, and losses too if the truth is given.

        What it says of an image must not depend on the other images of the batch, save by its training losses.

        Args:
            images: (B, C, H, W) float32, normalized.
            sizes: (B, 2) int64, see `SIZE`.
            truth: one an image, with segments.
        """
        ...
