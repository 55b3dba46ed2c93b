"""Which numbers tell how well the classes of pixels are found?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from lightning_cv.contracts import IGNORED
from lightning_cv.errors import UserError


class SegmentationScores(Metric):
    """Mean intersection over union, pixel accuracy and boundary F1, counted over the whole set (row 206).

    Counts of pixels are added up, and divided once at the end: exact over ragged batches and devices, and not a mean
    of the batches' values. A class that neither is there nor was found in the whole set is left out of the means.

    `mean_iou`, `iou/<class>`: of each class, pixels that both say over pixels that either says. `mean_accuracy`: the
    share of each class's pixels that are found, mean over the classes. `pixel_accuracy`: of all pixels. `boundary_f1`:
    of each class, the harmonic mean of the share of its found boundary that lies near a true one and the reverse, mean
    over classes (Csurka et al. 2013, but counted over the set).

    Args:
        class_names: one name a class.
        boundary: how far "near" is, as a share of an image's diagonal, above 0; None: no boundary F1. The papers have
            0.0075; at least a pixel.
    """

    full_state_update = False
    confusions: Tensor
    boundaries: Tensor

    def __init__(self, class_names: Sequence[str], *, boundary: float | None = 0.0075) -> None:
        super().__init__()
        if boundary is not None and not 0 < boundary < 1:
            raise UserError(f"boundary: {boundary} given, allowed: between 0 and 1, or null for no boundary F1")
        self.class_names = tuple(class_names)
        self.boundary = boundary
        number = len(self.class_names)
        self.add_state("confusions", torch.zeros(number * number, dtype=torch.int64), dist_reduce_fx="sum")
        # A row a class: found boundary, of it right; true boundary, of it found.
        self.add_state("boundaries", torch.zeros(number, 4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Add images: the classes (H, W) int64 that were found, and those that are there, or `IGNORED`."""
        number = len(self.class_names)
        for found, there in zip(predictions, targets, strict=True):
            # By weights of 0 and 1: to select the known pixels would wait for the device.
            cells = there.clamp(min=0) * number + found
            self.confusions.index_add_(0, cells.flatten(), (there != IGNORED).flatten().long())
            if self.boundary is not None:
                radius = math.ceil(self.boundary * math.hypot(*there.shape))
                self.boundaries += compare_boundaries(found, there, number, radius=radius)

    def compute(self) -> dict[str, Tensor]:
        """Return float32 scalars in [0, 1], by name; what no pixel tells is left out, `mean_iou` is then 0."""
        counts = self.confusions.view(len(self.class_names), -1).double()
        right, there, found = counts.diag(), counts.sum(1), counts.sum(0)
        iou = right / (there + found - right)
        present = there + found > 0
        values = {
            "mean_iou": iou[present].mean(),
            "pixel_accuracy": right.sum() / counts.sum(),
            "mean_accuracy": (right / there)[there > 0].mean(),
        }
        if self.boundary is not None:
            values["boundary_f1"] = _boundary_f1(self.boundaries.double())
        pairs = zip(self.class_names, iou, present.tolist(), strict=True)
        values |= {f"iou/{name}": value for name, value, counted in pairs if counted}
        values["mean_iou"] = values["mean_iou"].nan_to_num(0)
        return {name: value.float() for name, value in values.items() if not value.isnan()}


def compare_boundaries(found: Tensor, there: Tensor, num_classes: int, *, radius: int) -> Tensor:
    """(num_classes, 4) int64: pixels of the found boundary, of them near a true one; of the true one, of them found.

    Args:
        found: (H, W) int64 classes.
        there: (H, W) int64 classes, or `IGNORED`: what is found there does not count.
        num_classes: C.
        radius: Euclidean distance in pixels that is near, 1 or more.
    """
    known = there != IGNORED
    counts = torch.zeros(num_classes, 4, dtype=torch.int64, device=there.device)
    # Both hold IGNORED: from there on a pixel has no known neighbour.
    present = torch.cat([found[known], there[known]]).unique()
    if not len(present):
        return counts
    labels = present[:, None, None]
    edges = [boundary_of((classes == labels) & known, known) for classes in (found, there)]
    for column, (own, other) in zip((0, 2), (edges, edges[::-1]), strict=True):
        right = own & _dilated(other, radius)
        counts[present, column : column + 2] = torch.stack([own.sum((1, 2)), right.sum((1, 2))], dim=1)
    return counts


def boundary_of(masks: Tensor, known: Tensor) -> Tensor:
    """(N, H, W) bool: pixels of masks (N, H, W) with a known pixel outside of their mask at one of their four sides.

    Args:
        masks: bool.
        known: (H, W) bool; what is beyond the image's border is not.
    """
    outside = F.pad(~masks & known, (1, 1, 1, 1))
    height, width = known.shape
    sides = [(0, 1), (2, 1), (1, 0), (1, 2)]
    beside = [outside[:, y : y + height, x : x + width] for y, x in sides]
    return masks & torch.stack(beside).any(0)


def _dilated(masks: Tensor, radius: int) -> Tensor:
    """Pixels within a Euclidean distance of one of a mask: rows of the disc, each as long as the distance leaves."""
    values = F.pad(masks.float(), (0, 0, radius, radius))
    height = masks.shape[1]
    near = torch.zeros_like(masks)
    for down in range(2 * radius + 1):
        half = math.isqrt(radius**2 - (down - radius) ** 2)
        row = values[:, down : down + height]
        near |= F.max_pool2d(row, (1, 2 * half + 1), stride=1, padding=(0, half)) > 0
    return near


def _boundary_f1(counts: Tensor) -> Tensor:
    found, right, there, recalled = counts.T
    precision, recall = right / found.clamp(min=1), recalled / there.clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=torch.finfo(torch.float64).tiny)
    return f1[found + there > 0].mean()
