"""What have all panoptic networks in common, whose word on an image must not depend on the others of its batch?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IGNORED, VOID, Panoptic, PanopticOutput, Pixels
from lightning_cv.errors import UserError
from lightning_cv.ops.image_sizes import Size, pad, padded_size, rows_by_size

Features = dict[str, Tensor]  # by name, first dimension B
Ranges = Sequence[tuple[int, int]]


class BatchPanoptic(nn.Module, ABC):
    """Behind the contract `PanopticNetwork`: an author writes `encode`, `losses` and `merge`.

    In scoring, only images of one size are taken together, and losses image by image.

    Args:
        num_classes: of things and stuff.
        things: which class indices are things: from the first of each pair to before the second.
        divisible_by: images are padded with 0 at the right and below to heights and widths that it divides.
    """

    def __init__(self, num_classes: int, things: Ranges, *, divisible_by: int = 32) -> None:
        super().__init__()
        inside = {label for first, end in things for label in range(first, end)}
        if not all(0 <= first < end <= num_classes for first, end in things) or len(inside) == num_classes:
            raise UserError(
                f"{type(self).__name__} things: {[list(pair) for pair in things]} given, allowed: pairs [first, end] "
                f"within 0 to num_classes ({num_classes}), and at least one class that is none"
            )
        self.num_classes = num_classes
        self.things = tuple(label in inside for label in range(num_classes))
        self._divisible_by = divisible_by

    @abstractmethod
    def encode(self, images: Tensor, sizes: Sequence[Size]) -> Features:
        """What is made of padded images once, for losses and segments."""

    @abstractmethod
    def losses(
        self, images: Tensor, sizes: Sequence[Size], features: Features, truth: Sequence[Pixels]
    ) -> dict[str, Tensor]:
        """Named losses, scalars; the truth is padded as the images are."""

    @abstractmethod
    def merge(self, images: Tensor, sizes: Sequence[Size], features: Features) -> list[Panoptic]:
        """The segments of each padded image, as large as it is."""

    def forward(
        self, images: Tensor, sizes: Tensor | None = None, truth: Sequence[Pixels] | None = None
    ) -> PanopticOutput:
        """See `PanopticNetwork`; without sizes no image has padding."""
        if sizes is None:
            sizes = torch.tensor([images.shape[-2:]] * len(images))
        if self.training:
            assert truth is not None, "training needs the truth"
            padded = self._padded(images)
            whole = [(height, width) for height, width in sizes.tolist()]
            fitted = [_padded_truth(each, padded) for each in truth]
            return PanopticOutput(self.losses(padded, whole, self.encode(padded, whole), fitted))
        found: dict[int, Panoptic] = {}
        losses: list[dict[str, Tensor]] = [{}] * len(images)
        for rows, (height, width) in rows_by_size(sizes.tolist()):
            padded = self._padded(images[rows, :, :height, :width])
            taken = [(height, width)] * len(rows)
            features = self.encode(padded, taken)
            for place, (row, each) in enumerate(zip(rows, self.merge(padded, taken, features), strict=True)):
                found[row] = Panoptic(each.segments[:height, :width], each.labels, each.is_thing)
                if truth is not None:
                    own = {name: level[place : place + 1] for name, level in features.items()}
                    fitted = [_padded_truth(truth[row], padded)]
                    losses[row] = self.losses_of_one(padded[place : place + 1], taken[:1], own, fitted)
        names = losses[0] if losses else ()
        means = {name: torch.stack([each[name] for each in losses]).mean() for name in names}
        return PanopticOutput(means, [found[row] for row in range(len(images))])

    def losses_of_one(
        self, images: Tensor, sizes: Sequence[Size], features: Features, truth: Sequence[Pixels]
    ) -> dict[str, Tensor]:
        """The losses of one image in scoring; to be replaced where they differ from those of training."""
        return self.losses(images, sizes, features, truth)

    def _padded(self, images: Tensor) -> Tensor:
        return pad(images, padded_size([(images.shape[-2], images.shape[-1])], self._divisible_by))


def _padded_truth(truth: Pixels, images: Tensor) -> Pixels:
    assert truth.segments is not None, "panoptic training needs segments"
    size = (images.shape[-2], images.shape[-1])
    return Pixels(pad(truth.classes, size, IGNORED), pad(truth.segments, size, VOID))
