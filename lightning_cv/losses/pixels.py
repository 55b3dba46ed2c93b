"""How wrong are the scores of pixels: each by itself, or by how the regions of the classes overlap?

All take scores (B, C, H, W) and classes (B, H, W) int64 in [0, C) or `IGNORED`, and give a scalar; where every pixel is
ignored it is 0. Sums of them are the task's matter, see `lightning_cv.tasks.Segment`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.contracts import IGNORED
from lightning_cv.errors import UserError


class PixelCrossEntropy(nn.Module):
    """Cross-entropy, mean over the pixels that are not ignored.

    Args:
        class_weights: one a class, 0 or more; the mean is then weighted by them, as torch's. None: all 1.
        label_smoothing: share of the truth that all classes get alike, in [0, 1).
        hardest: share of the pixels, in (0, 1], that count: those with the largest losses (online hard example mining,
            Shrivastava et al. 2016). 1: all.
    """

    weight: Tensor | None

    def __init__(
        self, class_weights: Sequence[float] | None = None, *, label_smoothing: float = 0.0, hardest: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < hardest <= 1:
            raise UserError(f"PixelCrossEntropy hardest: {hardest} given, allowed: above 0, up to 1")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"PixelCrossEntropy label_smoothing: {label_smoothing} given, allowed: 0 to below 1")
        self.register_buffer("weight", class_weights_tensor(class_weights), persistent=False)
        self.label_smoothing = label_smoothing
        self.hardest = hardest

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """See above."""
        _check_weights(self.weight, scores)
        known = classes != IGNORED
        losses = F.cross_entropy(
            scores.float(),
            classes,
            weight=self.weight,
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        if self.hardest == 1:
            counted = known.sum() if self.weight is None else (self.weight[classes.clamp(min=0)] * known).sum()
            return losses.sum() / counted.clamp(min=torch.finfo(torch.float32).tiny)
        hard = losses[known]
        count = max(1, round(self.hardest * len(hard)))
        return hard.topk(min(count, len(hard))).values.sum() / count


class Focal(nn.Module):
    """Focal loss of the softmax, mean over the pixels that are not ignored (Lin et al. 2017, eq. 4 for many classes).

    -(1 - p)^gamma log p, where p is the probability of the true class.

    Args:
        gamma: 0 or more; 0: cross-entropy.
        class_weights: one a class, which multiply the losses; None: all 1.
    """

    weight: Tensor | None

    def __init__(self, gamma: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if gamma < 0:
            raise UserError(f"Focal gamma: {gamma} given, allowed: 0 or more")
        self.gamma = gamma
        self.register_buffer("weight", class_weights_tensor(class_weights), persistent=False)

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """See above."""
        _check_weights(self.weight, scores)
        known = classes != IGNORED
        log_p = -F.cross_entropy(scores.float(), classes, reduction="none", ignore_index=IGNORED)
        losses = -((-log_p.expm1()).clamp(min=0) ** self.gamma) * log_p
        if self.weight is not None:
            losses = losses * self.weight[classes.clamp(min=0)]
        return (losses * known).sum() / known.sum().clamp(min=1)


class Dice(nn.Module):
    """1 - Dice coefficient of the probabilities, mean over the classes (Milletari et al. 2016, eq. 2, for each class).

    2 Σ p y / (Σ p + Σ y), sums over all pixels of the batch that are not ignored. A class of which there is none in the
    batch is left out.

    Args:
        squared: square the probabilities and truths of the denominator, as in the paper.
        smooth: added above and below: large ones forgive small regions; above 0 an absent class counts too.
    """

    def __init__(self, *, squared: bool = False, smooth: float = 0.0) -> None:
        super().__init__()
        if smooth < 0:
            raise UserError(f"Dice smooth: {smooth} given, allowed: 0 or more")
        self.squared = squared
        self.smooth = smooth

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """See above."""
        p, y = _probabilities(scores, classes)
        there = y.sum(1)
        sums = (p.square() if self.squared else p).sum(1) + there
        dice = (2 * (p * y).sum(1) + self.smooth) / (sums + self.smooth).clamp(min=torch.finfo(torch.float32).tiny)
        counted = torch.ones_like(there) if self.smooth else (there > 0).float()
        counted = counted * (y.shape[1] > 0)
        return ((1 - dice) * counted).sum() / counted.sum().clamp(min=1)


class Lovasz(nn.Module):
    """Lovász-softmax: a convex extension of 1 - intersection over union, mean over classes (Berman et al. 2018, eq. 8).

    Over all pixels of the batch that are not ignored; a class of which there is none in the batch is left out.

    Args:
        per_image: of each image by itself, mean over the images: where the score is such a mean.
    """

    def __init__(self, *, per_image: bool = False) -> None:
        super().__init__()
        self.per_image = per_image

    def forward(self, scores: Tensor, classes: Tensor) -> Tensor:
        """See above."""
        if self.per_image:
            return torch.stack([self._loss(s[None], c[None]) for s, c in zip(scores, classes, strict=True)]).mean()
        return self._loss(scores, classes)

    def _loss(self, scores: Tensor, classes: Tensor) -> Tensor:
        p, y = _probabilities(scores, classes)
        errors, order = (y - p).abs().sort(dim=1, descending=True)
        there = y.gather(1, order)
        of_class = there.sum(1, keepdim=True)
        jaccard = 1 - (of_class - there.cumsum(1)) / (of_class + (1 - there).cumsum(1))
        steps = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
        counted = (of_class[:, 0] > 0).float()
        return ((errors * steps).sum(1) * counted).sum() / counted.sum().clamp(min=1)


def class_weights_tensor(class_weights: Sequence[float] | None) -> Tensor | None:
    """One weight a class.

    Raises:
        UserError: one is below 0, or all are 0.
    """
    if class_weights is None:
        return None
    if not class_weights or min(class_weights) < 0 or max(class_weights) == 0:
        raise UserError(f"class_weights: {list(class_weights)} given, allowed: 0 or more each, not all 0")
    return torch.tensor(class_weights, dtype=torch.float32)


def _probabilities(scores: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """(C, N) each: softmax of the N pixels that are not ignored, and 1 at their classes."""
    known = classes != IGNORED
    p = scores.float().softmax(1).movedim(1, -1)[known].T
    return p, F.one_hot(classes[known], scores.shape[1]).T.to(p.dtype)


def _check_weights(weight: Tensor | None, scores: Tensor) -> None:
    if weight is not None and len(weight) != scores.shape[1]:
        raise UserError(f"class_weights: {len(weight)} given, allowed: {scores.shape[1]}, one a class")
