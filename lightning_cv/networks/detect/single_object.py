"""Which one object is on an image, and where?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_convert

from lightning_cv.contracts import Detections, Objects
from lightning_cv.networks.blocks.feature_maps import FeatureMaps
from lightning_cv.networks.detect.base import BatchDetector, Features

_PLACES = 3  # along each side, to which the last feature map is averaged


class SingleObject(BatchDetector):
    """Classification with localization: a backbone, and two fully connected heads on it (rows 178, 179, 180).

    The heads give class scores (B, C) and one box (B, 4) as (x, y, w, h): its middle and size as shares of the image.
    Losses: `loss_label`, the softmax loss, and `loss_box`, the squared error, which `Detect` weighs. An image with
    several objects trains on its largest one, and an image without any on nothing.

    Args:
        num_classes: how many.
        backbone: sees the image.
        width: of the hidden layer of each head.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(self, num_classes: int = 10, *, backbone: FeatureMaps | None = None, width: int = 256) -> None:
        super().__init__(num_classes)
        self.backbone = backbone or FeatureMaps()
        seen = self.backbone.channels[-1] * _PLACES**2
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(_PLACES), nn.Flatten())
        self.label = nn.Sequential(nn.Linear(seen, width), nn.ReLU(), nn.Linear(width, num_classes))
        self.box = nn.Sequential(nn.Linear(seen, width), nn.ReLU(), nn.Linear(width, 4))

    def encode(self, images: ImageList) -> Features:
        """Scores (B, C) and boxes (B, 4)."""
        seen = self.pool(self.backbone(images.tensors)[-1])
        return {"scores": self.label(seen), "boxes": self.box(seen).sigmoid()}

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        rows = [row for row, each in enumerate(objects) if len(each)]
        scores, boxes = features["scores"].float(), features["boxes"].float()
        if not rows:
            return {"loss_label": scores.sum() * 0, "loss_box": boxes.sum() * 0}
        largest = [_largest(objects[row]) for row in rows]
        labels = torch.stack([each.labels[0] for each in largest])
        sizes = boxes.new_tensor([images.image_sizes[row] for row in rows])
        wanted = box_convert(torch.cat([each.boxes for each in largest]), "xyxy", "cxcywh") / sizes.flip(1).repeat(1, 2)
        return {
            "loss_label": F.cross_entropy(scores[rows], labels),
            "loss_box": F.mse_loss(boxes[rows], wanted, reduction="sum") / len(rows),
        }

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """One detection an image."""
        best, labels = features["scores"].float().softmax(1).max(1)
        sizes = features["boxes"].new_tensor(images.image_sizes).flip(1).repeat(1, 2)
        boxes = box_convert(features["boxes"].float() * sizes, "cxcywh", "xyxy")
        boxes = torch.minimum(boxes.clamp(min=0), sizes)
        return [Detections(b[None], s[None], label[None]) for b, s, label in zip(boxes, best, labels, strict=True)]


def _largest(objects: Objects) -> Objects:
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    return objects.select(sides.prod(1).argmax()[None])
