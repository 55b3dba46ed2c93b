"""What does a normalized image look like?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE_PX = 176  # of an image in a picture: larger ones are made this small, the smallest about this large


def show_images(images: Tensor, mean: Sequence[float], std: Sequence[float], *, side_px: int = SIDE_PX) -> Tensor:
    """Undo the normalization, at a size that fits a picture, without waiting for the device.

    Args:
        images: (B, C, H, W) float, (value - mean) / std of values in [0, 1].
        mean: one number a channel.
        std: one number a channel.
        side_px: larger images are made this small.

    Returns:
        uint8 (B, 1 or 3, h, w), h and w up to `side_px`: of two channels the first, of more than three the first
        three.
    """
    shown = 3 if images.shape[1] >= 3 else 1
    # By plain numbers: to bring a tensor of them to the device would wait for it.
    values = torch.stack([images[:, c].float() * std[c] + mean[c] for c in range(shown)], dim=1)
    height, width = images.shape[-2:]
    if max(height, width) > side_px:
        factor = side_px / max(height, width)
        size = [max(1, round(height * factor)), max(1, round(width * factor))]
        values = F.interpolate(values, size, mode="bilinear", antialias=True)
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)
