"""A network that never makes the image smaller: how far a pixel sees depends on depth and dilation alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError


class ConstantResolution(nn.Module):
    """3 x 3 convolutions at the size of the image (row 208); with dilation they reach further (row 214).

    A score depends on a square of 1 + 2 · Σ dilations pixels: with L undilated convolutions 1 + 2 L, linear in depth;
    with dilations that double exponential in it (Yu and Koltun 2016, whose context module the default is).

    Args:
        num_classes: number of scores a pixel.
        in_channels: of the images.
        width: channels of every layer.
        dilations: of each convolution, 1 or more.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 32, 32)

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        width: int = 32,
        dilations: Sequence[int] = (1, 1, 2, 4, 8, 16, 1),
    ) -> None:
        super().__init__()
        if not dilations or min(dilations) < 1:
            raise UserError(f"ConstantResolution dilations: {list(dilations)} given, allowed: 1 or more each")
        layers: list[nn.Module] = []
        widths = [in_channels, *[width] * len(dilations)]
        for (into, out), dilation in zip(pairwise(widths), dilations, strict=True):
            layer = nn.Conv2d(into, out, 3, padding=dilation, dilation=dilation, bias=False)
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            layers += [layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, num_classes, 1)
        self.receptive_field_px = 1 + 2 * sum(dilations)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to scores (B, num_classes, H, W)."""
        scores: Tensor = self.head(self.layers(images))
        return scores
