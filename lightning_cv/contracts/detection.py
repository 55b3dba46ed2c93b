"""What do data sets, detectors and the task Detect know of objects on images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class KeypointSet:
    """The K keypoints that objects of a data set have.

    Args:
        names: one each.
        swaps: (K) the keypoint that each becomes in a mirror: left and right change places.
        sigmas: (K) how exactly each can be marked, as a share of the object's size; for the similarity (row 225).
    """

    names: tuple[str, ...]
    swaps: tuple[int, ...]
    sigmas: tuple[float, ...]


@dataclass(frozen=True)
class Objects:
    """The N objects on one image.

    Args:
        boxes: (N, 4) float32 corners (x1, y1, x2, y2) in pixels.
        labels: (N,) int64 class indices.
        crowd: (N,) bool, see `CROWD`.
        areas: (N,) float32, see `AREA`.
        masks: (N, H, W) uint8 in {0, 1}.
        keypoints: (N, K, 3) float32, see `KEYPOINT`.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    areas: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, rows: Tensor) -> Objects:
        """Some of them, by mask or index."""
        return Objects(
            self.boxes[rows],
            self.labels[rows],
            self.crowd[rows],
            self.areas[rows],
            None if self.masks is None else self.masks[rows],
            None if self.keypoints is None else self.keypoints[rows],
        )


@dataclass(frozen=True)
class Detections:
    """The n objects that a network finds on one image, the surest first.

    Args:
        boxes: (n, 4) float32 corners (x1, y1, x2, y2) in pixels.
        scores: (n,) float32 in [0, 1].
        labels: (n,) int64 class indices.
        masks: (n, H, W) float32 in [0, 1]: the probability of each pixel.
        keypoints: (n, K, 3) float32 (x, y, score).
        extras: what further heads say, first dimension n.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, rows: Tensor) -> Detections:
        """Some of them, by mask or index, in that order."""
        return Detections(
            self.boxes[rows],
            self.scores[rows],
            self.labels[rows],
            None if self.masks is None else self.masks[rows],
            None if self.keypoints is None else self.keypoints[rows],
            {name: values[rows] for name, values in self.extras.items()},
        )


@dataclass(frozen=True)
class DetectorOutput:
    """What a detector says of a batch.

    Args:
        losses: named scalars, means over the batch; empty where no objects were given.
        detections: one an image; empty in training.
    """

    losses: Mapping[str, Tensor] = field(default_factory=dict)
    detections: Sequence[Detections] = ()


class Detector(Protocol):
    """A network that finds objects.

    `finds` says of what kind its detections are besides boxes: "mask", "keypoint".
    """

    num_classes: int
    finds: tuple[str, ...]

    def __call__(self, images: Tensor, sizes: Tensor, objects: Sequence[Objects] | None = None) -> DetectorOutput:
        """Losses in training; else detections, and losses too if the objects are given.

        What it says of an image must not depend on the other images of the batch, save by its training losses.

        Args:
            images: (B, C, H, W) float32, normalized.
            sizes: (B, 2) int64, see `SIZE`.
            objects: one an image, without crowds; may be empty.
        """
        ...
