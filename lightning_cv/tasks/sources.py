"""What of a batch is an image translated from, so that no data set of pairs is needed?"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.contracts import CLASSES, Batch, DataInfo
from lightning_cv.errors import UserError
from lightning_cv.ops.edges import edges


class Source(ABC):
    """Makes the image that goes in of what is known of the one that is to come out."""

    @abstractmethod
    def channels(self, info: DataInfo) -> int:
        """S, of what it makes of such data.

        Raises:
            UserError: nothing can be made of them.
        """

    @abstractmethod
    def make(self, batch: Batch, images: Tensor, info: DataInfo | None) -> Tensor:
        """(B, S, H, W) float32 in [0, 1].

        Args:
            batch: of the data.
            images: (B, C, H, W) in [0, 1], what is to come out.
            info: what the data publish; None: nothing.
        """

    def show(self, source: Tensor, info: DataInfo) -> Tensor:
        """(B, 1 or 3, H, W) in [0, 1], for a person."""
        return source


class EdgesOf(Source):
    """Where the image changes most (Sobel), as Isola et al. 2017 translate edges to shoes."""

    def channels(self, info: DataInfo) -> int:
        """1."""
        return 1

    def make(self, batch: Batch, images: Tensor, info: DataInfo | None) -> Tensor:
        """See `Source`; the length of the gradient."""
        return edges(images)


class MasksOf(Source):
    """The class of each pixel, a channel for each, as they translate labels to facades; none where it is not known."""

    def channels(self, info: DataInfo) -> int:
        """K."""
        if info.pixels is None:
            raise UserError(
                "model.init_args.source: MasksOf needs data whose pixels have classes; allowed: Scenes (truth: "
                "semantic), MaskFolder, ..., or EdgesOf"
            )
        return info.num_classes

    def make(self, batch: Batch, images: Tensor, info: DataInfo | None) -> Tensor:
        """See `Source`; 1 in the channel of the class."""
        assert info is not None
        if CLASSES not in batch:
            raise UserError(
                "MasksOf needs the classes of pixels, and these images have none; allowed: a split of the data set"
            )
        classes = batch[CLASSES].long()
        known = (classes >= 0) & (classes < info.num_classes)
        return F.one_hot(torch.where(known, classes, 0), info.num_classes).permute(0, 3, 1, 2) * known[:, None].float()

    def show(self, source: Tensor, info: DataInfo) -> Tensor:
        """In the colours of the classes."""
        assert info.pixels is not None
        colors = torch.tensor(info.pixels.colors, dtype=torch.float32, device=source.device) / 255
        return torch.einsum("bkhw,kc->bchw", source, colors)
