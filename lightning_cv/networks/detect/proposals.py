"""Which regions of an image are proposed from outside of the network, before anything is learned?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from hashlib import blake2b

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from lightning_cv.errors import UserError
from lightning_cv.ops.selective_search import selective_search


class Proposals(nn.Module, ABC):
    """Proposes boxes for single images, and remembers those of images that come again.

    Args:
        max_remembered: images whose boxes are kept in memory, the last ones.
    """

    def __init__(self, max_remembered: int = 20_000) -> None:
        super().__init__()
        self.max_remembered = max_remembered
        self._remembered: OrderedDict[bytes, Tensor] = OrderedDict()

    @abstractmethod
    def propose(self, image: Tensor) -> Tensor:
        """(n, 4) float32 corners of boxes in an image (C, H, W) uint8."""

    def forward(self, images: ImageList) -> Tensor:
        """(B, P, 4): boxes of each image; NaN where it has fewer than another."""
        found = [
            self._of(_as_uint8(image[:, :height, :width]))
            for image, (height, width) in zip(images.tensors, images.image_sizes, strict=True)
        ]
        padded = torch.full((len(found), max(1, *map(len, found)), 4), float("nan"))
        for row, boxes in zip(padded, found, strict=True):
            row[: len(boxes)] = boxes
        return padded.to(images.tensors.device)

    def _of(self, image: Tensor) -> Tensor:
        key = blake2b(image.numpy().tobytes() + bytes(str(tuple(image.shape)), "ascii"), digest_size=16).digest()
        if key not in self._remembered:
            self._remembered[key] = self.propose(image)
            if len(self._remembered) > self.max_remembered:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        return self._remembered[key]


class SelectiveSearch(Proposals):
    """Boxes of regions that are merged by likeness (row 182), see `ops.selective_search`.

    Args:
        scales: of the first cuts; the larger, the larger their regions.
        max_boxes: of an image.
        least_px: narrower or lower boxes go.
        max_remembered: see `Proposals`.
    """

    def __init__(
        self,
        scales: tuple[float, ...] = (50.0, 150.0),
        *,
        max_boxes: int = 200,
        least_px: int = 6,
        max_remembered: int = 20_000,
    ) -> None:
        super().__init__(max_remembered)
        if not scales or min(scales) <= 0 or max_boxes < 1:
            raise UserError(
                f"SelectiveSearch: scales {list(scales)}, max_boxes {max_boxes} given, allowed: above 0, 1 or more"
            )
        self.scales = tuple(scales)
        self.max_boxes = max_boxes
        self.least_px = least_px

    def propose(self, image: Tensor) -> Tensor:
        """See `Proposals`; a grey image has one channel."""
        pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        boxes = selective_search(pixels, scales=self.scales, max_boxes=self.max_boxes, least_px=self.least_px)
        return torch.from_numpy(boxes).float()


def boxes_of(padded: Tensor) -> list[Tensor]:
    """The boxes of each image, without what fills up."""
    return [row[row[:, 0].isfinite()] for row in padded]


def _as_uint8(image: Tensor) -> Tensor:
    """A normalized image as pixels, its darkest 0 and its lightest 255: the normalization is not known here."""
    image = image.detach().float().cpu()
    low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
