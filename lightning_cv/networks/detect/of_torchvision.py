"""What have the detectors of torchvision in common?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from lightning_cv.contracts import Detections, Objects
from lightning_cv.networks.detect.base import BatchDetector, Features

Targets = list[dict[str, Tensor]]


class TorchvisionDetector(BatchDetector):
    """A detector of torchvision behind the contract `Detector`.

    Images come normalized and in their final size, so torchvision's own transform of them is left out. Its class 0 is
    the background; ours begin behind it.

    Args:
        model: torchvision's detector.
        num_classes: of ours.
        finds: see `Detector`.
    """

    def __init__(self, model: nn.Module, num_classes: int, finds: tuple[str, ...] = ()) -> None:
        super().__init__(num_classes, finds)
        self.model: Any = model

    def encode(self, images: ImageList) -> Features:
        """The feature maps of the backbone."""
        features = self.model.backbone(images.tensors)
        return OrderedDict([("0", features)]) if isinstance(features, Tensor) else features

    def parts_that_train(self) -> list[nn.Module]:
        """See `BatchDetector`."""
        parts = [self.model, getattr(self.model, "rpn", None), getattr(self.model, "roi_heads", None)]
        return [part for part in parts if isinstance(part, nn.Module)]

    def targets(self, objects: Sequence[Objects]) -> Targets:
        """The objects of each image as torchvision takes them."""
        return [self._target(each) for each in objects]

    def _target(self, objects: Objects) -> dict[str, Tensor]:
        target = {"boxes": objects.boxes, "labels": objects.labels + 1}
        if "mask" in self.finds and objects.masks is not None:
            target["masks"] = objects.masks
        if "keypoint" in self.finds and objects.keypoints is not None:
            target["keypoints"] = objects.keypoints
        return target


def as_detections(found: dict[str, Tensor], extras: dict[str, Tensor] | None = None) -> Detections:
    """What torchvision found on an image, without the background, the surest first."""
    keypoints = None
    if "keypoints" in found:
        points = found["keypoints"].float()
        keypoints = torch.cat([points[..., :2], found["keypoints_scores"].float()[..., None]], dim=-1)
    detections = Detections(
        found["boxes"].float(),
        found["scores"].float(),
        found["labels"] - 1,
        found["masks"][:, 0] if "masks" in found else None,
        keypoints,
        extras or {},
    )
    order = detections.scores.argsort(descending=True, stable=True)
    return detections.select(order[detections.labels[order] >= 0])
