"""What have all detectors in common, whose word on an image must not depend on the others of its batch?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from lightning_cv.contracts import Detections, DetectorOutput, Objects
from lightning_cv.ops.image_sizes import Size, pad, padded_size, rows_by_size

Features = dict[str, Tensor]  # by name, first dimension B


class BatchDetector(nn.Module, ABC):
    """Behind the contract `Detector`: an author writes `encode`, `losses` and `detect`.

    In scoring, images are taken together only if they have one padded size, and losses image by image with draws that
    repeat: what is said of an image depends on no other.

    Args:
        num_classes: without a background.
        finds: see `Detector`.
        divisible_by: images are padded with 0 at the right and below to heights and widths that it divides.
    """

    def __init__(self, num_classes: int, finds: tuple[str, ...] = (), *, divisible_by: int = 32) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.finds = finds
        self._divisible_by = divisible_by

    @abstractmethod
    def encode(self, images: ImageList) -> Features:
        """What is made of the images once, for losses and detections."""

    @abstractmethod
    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """Named losses, scalars."""

    @abstractmethod
    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """What is found on each image."""

    def forward(
        self, images: Tensor, sizes: Tensor | None = None, objects: Sequence[Objects] | None = None
    ) -> DetectorOutput:
        """See `Detector`; without sizes no image has padding."""
        one_size = (images.shape[-2], images.shape[-1])
        whole = [one_size] * len(images) if sizes is None else [(h, w) for h, w in sizes.tolist()]
        if self.training:
            assert objects is not None, "training needs objects"
            taken = self._images(images, whole, range(len(whole)))
            return DetectorOutput(self.losses(taken, self.encode(taken), objects))
        detections: list[Detections | None] = [None] * len(whole)
        losses: list[dict[str, Tensor]] = [{}] * len(whole)
        for rows, _ in rows_by_size(whole, self._divisible_by):
            taken = self._images(images, whole, rows)
            features = self.encode(taken)
            for row, found in zip(rows, self.detect(taken, features), strict=True):
                detections[row] = found
            if objects is not None:
                for place, row in enumerate(rows):
                    losses[row] = self._losses_of_one(taken, features, place, objects[row])
        names = losses[0] if losses else ()
        means = {name: torch.stack([each[name] for each in losses]).mean() for name in names}
        return DetectorOutput(means, [found for found in detections if found is not None])

    def parts_that_train(self) -> list[nn.Module]:
        """Modules that compute losses only where they believe to be in training."""
        return []

    def _losses_of_one(self, images: ImageList, features: Features, place: int, objects: Objects) -> dict[str, Tensor]:
        """The losses of one image, as in training but with draws of their own."""
        alone = ImageList(images.tensors[place : place + 1], [images.image_sizes[place]])
        own = {name: level[place : place + 1] for name, level in features.items()}
        with as_in_training(self.parts_that_train()), own_draws(images.tensors.device):
            return self.losses(alone, own, [objects])

    def _images(self, images: Tensor, sizes: Sequence[Size], rows: Sequence[int]) -> ImageList:
        """Some images, padded with 0 to one size that divides."""
        taken = [sizes[row] for row in rows]
        height, width = padded_size(taken, self._divisible_by)
        if len(rows) == len(images) and all(size == (height, width) == images.shape[-2:] for size in taken):
            return ImageList(images, taken)
        cut = [images[row, :, :h, :w] for row, (h, w) in zip(rows, taken, strict=True)]
        return ImageList(torch.stack([pad(image, (height, width)) for image in cut]), taken)


@contextmanager
def as_in_training(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Let the parts that only differ by what they compute compute losses; dropout and norms stay as they are."""
    switched = [part for part in parts if not part.training]
    for part in switched:
        part.training = True
    try:
        yield
    finally:
        for part in switched:
            part.training = False


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Draws that are the same each time, and leave the generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
