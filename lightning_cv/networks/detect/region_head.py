"""What else can be said of each region that a two-stage detector looks at?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from lightning_cv.contracts import Objects


@dataclass(frozen=True)
class Regions:
    """R regions of the images of a batch.

    Args:
        features: (R, C, 7, 7), cut out of the feature pyramid by RoIAlign.
        boxes: (R, 4) in pixels of their image.
        image: (R,) int64 which image each is on.
    """

    features: Tensor
    boxes: Tensor
    image: Tensor


class RegionHead(nn.Module, ABC):
    """One more head of a two-stage detector, added from the recipe (row 226).

    It gets the regions that lie on objects in training, and those of the detections in scoring; its loss is added
    under the name that the recipe gives it, and what it says is `Detections.extras` under the same name.
    """

    @abstractmethod
    def build(self, in_channels: int) -> None:
        """Make the layers, once the channels C of the features are known."""

    @abstractmethod
    def forward(self, regions: Regions) -> Tensor:
        """What is said of each region, first dimension R."""

    @abstractmethod
    def loss(self, said: Tensor, regions: Regions, truth: Objects) -> Tensor:
        """Scalar, a mean over the regions; `truth` holds the object of each region. R may be 0."""


class Overlap(RegionHead):
    """How well a box fits its object: the intersection over union with it (IoU-Net; Jiang et al. 2018, section 3.1).

    Args:
        width: of the hidden layer.
    """

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential()

    def build(self, in_channels: int) -> None:
        """See `RegionHead`."""
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(in_channels * 49, self.width), nn.ReLU(), nn.Linear(self.width, 1)
        )

    def forward(self, regions: Regions) -> Tensor:
        """(R,) in [0, 1]."""
        said: Tensor = self.layers(regions.features)[:, 0].sigmoid()
        return said

    def loss(self, said: Tensor, regions: Regions, truth: Objects) -> Tensor:
        """Smooth L1 between what is said and what is."""
        if not len(said):
            return said.sum()
        return F.smooth_l1_loss(said, box_iou(regions.boxes, truth.boxes).diagonal())


def on_objects(
    proposals: Sequence[Tensor], objects: Sequence[Objects], *, most: int, least_iou: float = 0.5
) -> list[Matched]:
    """Regions of each image that lie on an object: proposals and the objects' own boxes, drawn at random.

    Args:
        proposals: (P, 4) of each image.
        objects: on each image.
        most: of an image.
        least_iou: with the object.
    """
    found = []
    for proposed, truth in zip(proposals, objects, strict=True):
        boxes = torch.cat([proposed.detach(), truth.boxes])
        if not len(truth):
            found.append(Matched(boxes[:0], truth))
            continue
        best, which = box_iou(boxes, truth.boxes).max(1)
        rows = (best >= least_iou).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), device=rows.device)[:most]]
        found.append(Matched(boxes[rows], truth.select(which[rows])))
    return found


@dataclass(frozen=True)
class Matched:
    """Regions of one image, and the object of each.

    Args:
        boxes: (R, 4).
        truth: R objects.
    """

    boxes: Tensor
    truth: Objects
