"""What have all detectors of torchvision in common, when they are given whole batches and say losses in scoring too?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from lightning_cv.contracts import Detections, DetectorOutput, Objects
from lightning_cv.networks.detect.sizes import Size, by_padded_size, padded_size

Features = dict[str, Tensor]
Targets = list[dict[str, Tensor]]
DIVISIBLE_BY = 32


class TorchvisionDetector(nn.Module, ABC):
    """A detector of torchvision behind the contract `Detector`.

    Images come normalized and in their final size, so torchvision's own transform of them is left out. In scoring,
    images are taken together only if they have one padded size, and losses image by image with draws that repeat: what
    is said of an image depends on no other. torchvision's class 0 is the background; ours begin behind it.

    Args:
        model: torchvision's detector.
        num_classes: of ours.
        finds: see `Detector`.
    """

    def __init__(self, model: nn.Module, num_classes: int, finds: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.model: Any = model
        self.num_classes = num_classes
        self.finds = finds

    def forward(self, images: Tensor, sizes: Tensor, objects: Sequence[Objects] | None = None) -> DetectorOutput:
        """See `Detector`."""
        whole = [(height, width) for height, width in sizes.tolist()]
        targets = None if objects is None else [self._target(o) for o in objects]
        if self.training:
            assert targets is not None, "training needs objects"
            taken = self._images(images, whole, range(len(whole)))
            return DetectorOutput(self.losses(taken, self._features(taken), targets))
        detections: list[Detections | None] = [None] * len(whole)
        losses: list[dict[str, Tensor] | None] = [None] * len(whole)
        for rows in by_padded_size(whole, DIVISIBLE_BY):
            taken = self._images(images, whole, rows)
            features = self._features(taken)
            for row, found in zip(rows, self.detect(taken, features), strict=True):
                detections[row] = found
            if targets is not None:
                for place, row in enumerate(rows):
                    losses[row] = self._losses_of_one(taken, features, place, targets[row])
        known = [each for each in losses if each is not None]
        means = {name: torch.stack([each[name] for each in known]).mean() for name in (known[0] if known else ())}
        return DetectorOutput(means, [found for found in detections if found is not None])

    @abstractmethod
    def losses(self, images: ImageList, features: Features, targets: Targets) -> dict[str, Tensor]:
        """Named losses, scalars."""

    @abstractmethod
    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """What is found on each image."""

    def _losses_of_one(
        self, images: ImageList, features: Features, place: int, target: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The losses of one image, as in training but with draws of their own."""
        alone = ImageList(images.tensors[place : place + 1], [images.image_sizes[place]])
        own = {name: level[place : place + 1] for name, level in features.items()}
        with _as_in_training(self.model), _own_draws(images.tensors.device):
            return self.losses(alone, own, [target])

    def _images(self, images: Tensor, sizes: Sequence[Size], rows: Sequence[int]) -> ImageList:
        """Some images, padded with 0 to one size that divides."""
        height, width = padded_size([sizes[row] for row in rows], DIVISIBLE_BY)
        padded = images.new_zeros(len(rows), images.shape[1], height, width)
        for place, row in zip(padded, rows, strict=True):
            h, w = sizes[row]
            place[:, :h, :w] = images[row, :, :h, :w]
        return ImageList(padded, [sizes[row] for row in rows])

    def _features(self, images: ImageList) -> Features:
        features = self.model.backbone(images.tensors)
        return OrderedDict([("0", features)]) if isinstance(features, Tensor) else features

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


@contextmanager
def _as_in_training(model: nn.Module) -> Iterator[None]:
    """Let the parts that only differ by what they compute compute losses; dropout and norms stay as they are."""
    parts = [model, getattr(model, "rpn", None), getattr(model, "roi_heads", None)]
    switched = [part for part in parts if isinstance(part, nn.Module) and not part.training]
    for part in switched:
        part.training = True
    try:
        yield
    finally:
        for part in switched:
            part.training = False


@contextmanager
def _own_draws(device: torch.device) -> Iterator[None]:
    """Draws that are the same each time, and leave the generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
