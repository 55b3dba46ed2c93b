"""Which regions are trained on, and what should be said of each?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

from lightning_cv.contracts import Detections, Objects


@dataclass(frozen=True)
class Sampled:
    """R regions of one image.

    Args:
        rows: (R,) int64 which of the given boxes they are.
        boxes: (R, 4).
        labels: (R,) int64, 0 for the background, and a class's index + 1.
        truth: (R, 4) the box of the object that each overlaps most; its own where there is none.
    """

    rows: Tensor
    boxes: Tensor
    labels: Tensor
    truth: Tensor


def sample_regions(
    boxes: Tensor, objects: Objects, *, most: int, positive: float = 0.25, least_iou: float = 0.5
) -> Sampled:
    """Draw regions, some of them on objects (Girshick 2015, section 2.3).

    Args:
        boxes: (n, 4) to draw from.
        objects: on the image.
        most: R at most.
        positive: share of them that lies on objects, if there are so many.
        least_iou: with an object, to lie on it.
    """
    if len(objects):
        best, which = box_iou(boxes, objects.boxes).max(1) if len(boxes) else (boxes[:, 0], boxes[:, 0].long())
        labels = torch.where(best >= least_iou, objects.labels[which] + 1, 0)
        truth = objects.boxes[which]
    else:
        labels, truth = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device), boxes
    on, off = labels.nonzero()[:, 0], (labels == 0).nonzero()[:, 0]
    on = on[torch.randperm(len(on), device=on.device)[: round(most * positive)]]
    off = off[torch.randperm(len(off), device=off.device)[: most - len(on)]]
    rows = torch.cat([on, off])
    return Sampled(rows, boxes[rows], labels[rows], truth[rows])


@dataclass(frozen=True)
class Choice:
    """Which boxes become detections.

    Args:
        score_threshold: those below go.
        nms_threshold: of two of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    score_threshold: float
    nms_threshold: float
    max_detections: int

    def __call__(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Detections:
        """Choose.

        Args:
            boxes: (n, 4), or (n, C, 4) where each class has its own.
            scores: (n, C) in [0, 1], without background.
            size: (height, width) of the image.
        """
        rows, labels = (scores > self.score_threshold).nonzero().unbind(1)
        chosen = boxes[rows, labels] if boxes.ndim == 3 else boxes[rows]
        chosen, kept = clip_boxes_to_image(chosen.float(), size), scores[rows, labels].float()
        sides = chosen[:, 2:] - chosen[:, :2]
        fine = (sides > 0).all(1)
        chosen, kept, labels = chosen[fine], kept[fine], labels[fine]
        order = batched_nms(chosen, kept, labels, self.nms_threshold)[: self.max_detections]
        return Detections(chosen[order], kept[order], labels[order])
