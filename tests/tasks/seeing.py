"""A detector whose every word is known: it says what it is told is there, moved by a rule."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lightning_cv.contracts import Detections, DetectorOutput, Objects


class Seeing(nn.Module):
    """Finds the objects that it is given, moved by pixels that their place says, and something that is not there.

    Scores fall with the place of the object. With `masks` and `keypoints` it gives those of the objects, moved too.
    """

    def __init__(self, num_classes: int, finds: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.num_classes, self.finds = num_classes, finds
        self.num_keypoints = 4
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images, sizes, objects: Sequence[Objects] | None = None) -> DetectorOutput:
        losses = {"loss_one": self.weight * 2, "loss_two": self.weight**2 * 3}
        if self.training:
            return DetectorOutput(losses)
        given = objects or [None] * len(images)
        found = [self._found(each, size) for each, size in zip(given, sizes.tolist(), strict=True)]
        return DetectorOutput(losses if objects is not None else {}, found)

    def _found(self, objects: Objects | None, size: Sequence[int]) -> Detections:
        height, width = size
        nothing = torch.tensor([[1.0, 1, width / 2, height / 2]])
        count = 0 if objects is None else len(objects)
        boxes = nothing if objects is None else torch.cat([objects.boxes + torch.arange(count)[:, None], nothing])
        none = torch.zeros(1, dtype=torch.int64)
        labels = none if objects is None else torch.cat([objects.labels, none])
        scores = torch.linspace(0.9, 0.3, count + 1)
        masks = keypoints = None
        if "mask" in self.finds:
            masks = torch.zeros(count + 1, height, width)
            if objects is not None:
                masks[:-1] = objects.masks.roll(1, -1)
            masks[-1, : height // 2, : width // 2] = 1
        if "keypoint" in self.finds:
            keypoints = torch.ones(count + 1, self.num_keypoints, 3)
            if objects is not None:
                keypoints[:-1] = objects.keypoints + torch.tensor([1.0, 0, 0])
        return Detections(boxes, scores, labels, masks, keypoints)


def sgd(groups) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.0)
