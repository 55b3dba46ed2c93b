"""Which colours does an image have, wherever they are?"""

from typing import ClassVar

import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, Batches
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.fitted import Fitted


class ColorHistogram(Fitted):
    """Share of the pixels in each bin of each channel: where they stand does not matter (row 13; Swain, Ballard 1991).

    The bins divide the range that a channel has in the training images evenly, whatever their normalization; what
    lies outside in another image counts to the first or last bin.

    Args:
        channels: C of the images.
        bins: for each channel, 2 or more.

    Raises:
        UserError: fewer than two bins.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 8, 8)
    low: Tensor
    high: Tensor

    def __init__(self, channels: int = 3, *, bins: int = 16) -> None:
        super().__init__()
        if bins < 2:
            raise UserError(f"ColorHistogram: bins is {bins}; allowed: 2 or more")
        self.bins = bins
        self.num_features = channels * bins
        self.declare("low", "high")

    def fit_images(self, batches: Batches) -> None:
        """Find the range of each channel."""
        ranges = [batch[IMAGE].aminmax(dim=0) for batch in batches()]
        self.find("low", torch.stack([r.min for r in ranges]).amin(dim=(0, 2, 3)))
        self.find("high", torch.stack([r.max for r in ranges]).amax(dim=(0, 2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to shares (B, C bins) that sum to 1."""
        self.check_found(self.low)
        shape = (1, -1, 1, 1)
        width = (self.high - self.low).clamp_min(torch.finfo(images.dtype).tiny) / self.bins
        number = ((images - self.low.view(shape)) / width.view(shape)).long().clamp(0, self.bins - 1)
        counts = torch.zeros(*images.shape[:2], self.bins, device=images.device, dtype=images.dtype)
        counts.scatter_add_(2, number.flatten(2), torch.ones_like(images).flatten(2))
        return counts.flatten(1) / images[0].numel()
