"""Which of several detections of one object stay?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from lightning_cv.contracts import Detections
from lightning_cv.errors import UserError


class Suppression(ABC):
    """Takes detections of an image away, or makes them less sure, where others of their class overlap them."""

    @abstractmethod
    def __call__(self, detections: Detections) -> Detections:
        """What is left, the surest first."""


class Nms(Suppression):
    """Non-maximum suppression: by falling score, each takes away those of its class that overlap it (row 202).

    Args:
        threshold: the intersection over union that is still no overlap, 0 to 1.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        _check("threshold", threshold)
        self.threshold = threshold

    def __call__(self, detections: Detections) -> Detections:
        """See `Suppression`."""
        kept = batched_nms(detections.boxes, detections.scores, detections.labels, self.threshold)
        return detections.select(kept)


class SoftNms(Suppression):
    """Soft non-maximum suppression: an overlap makes a detection less sure instead of taking it away.

    Bodla et al. 2017, eq. 3: from the surest on, others of its class with intersection over union u have their
    score multiplied by exp(-u² / sigma) (`gaussian`), or by 1 - u where u > threshold (`linear`).

    Args:
        method: which of both.
        sigma: above 0; the smaller, the harder.
        threshold: of the linear one.
        least_score: what falls below it goes.
    """

    def __init__(
        self,
        method: Literal["gaussian", "linear"] = "gaussian",
        *,
        sigma: float = 0.5,
        threshold: float = 0.3,
        least_score: float = 0.001,
    ) -> None:
        _check("threshold", threshold)
        if sigma <= 0:
            raise UserError(f"SoftNms sigma: {sigma} given, allowed: above 0")
        if method not in ("gaussian", "linear"):
            raise UserError(f"SoftNms method: {method} given, allowed: gaussian, linear")
        self.method = method
        self.sigma = sigma
        self.threshold = threshold
        self.least_score = least_score

    def __call__(self, detections: Detections) -> Detections:
        """See `Suppression`."""
        same = detections.labels[:, None] == detections.labels
        factors = torch.where(same, self._factors(box_iou(detections.boxes, detections.boxes)), 1.0)
        scores = detections.scores.clone()
        waiting = torch.ones_like(scores, dtype=torch.bool)
        for _ in range(len(scores)):
            best = torch.where(waiting, scores, -1.0).argmax()
            waiting[best] = False
            scores = torch.where(waiting, scores * factors[best], scores)
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] >= self.least_score]
        kept = detections.select(order)
        return Detections(kept.boxes, scores[order], kept.labels, kept.masks, kept.keypoints, kept.extras)

    def _factors(self, overlap: Tensor) -> Tensor:
        if self.method == "gaussian":
            return torch.exp(-overlap.square() / self.sigma)
        return torch.where(overlap > self.threshold, 1 - overlap, 1.0)


def _check(key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{key}: {value} given, allowed: 0 to 1")
