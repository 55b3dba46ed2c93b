"""What does each pixel learn of those before it, when a convolution may look up and back only?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding

_GATED_GAIN = 3.0  # a gate passes on a third of the deviation of what it gets: 0.34 of 1


def gate(features: Tensor) -> Tensor:
    """tanh(f) * sigmoid(g) of maps f and g in (B, 2W, ...): (B, W, ...) in (-1, 1).

    Van den Oord et al. 2016, Conditional image generation with PixelCNN decoders, equation 2.
    """
    signal, door = features.chunk(2, 1)
    return signal.tanh() * door.sigmoid()


def color_groups(width: int, channels: int) -> Tensor:
    """To which channel of a pixel each of `width` maps belongs: (width,) int64, in order and shared out evenly."""
    return torch.arange(width) * channels // width


class RowConvolution(nn.Conv2d):
    """A 1 x K convolution of each pixel and those left of it, where maps of a color see earlier colors (row 235).

    Left of the pixel all is seen. Of the pixel itself a map sees maps of its own color and earlier ones ("mask B"), or
    of earlier ones alone ("mask A"): van den Oord et al. 2016, Pixel recurrent neural networks, section 3.4.

    Args:
        of: (in,) int64, the color of each map that comes in; -1: seen by all.
        to: (out,) int64, the color of each map that goes out.
        size: K, the pixel included; 1: a masked 1 x 1 convolution.
        strict: mask A.
        bias: whether there is one.
    """

    mask: Tensor

    def __init__(self, of: Tensor, to: Tensor, *, size: int = 1, strict: bool = False, bias: bool = True) -> None:
        super().__init__(len(of), len(to), (1, size), bias=bias)
        mask = torch.ones(len(to), len(of), 1, size)
        mask[..., -1] = (of < to[:, None] if strict else of <= to[:, None])[..., None]
        self.register_buffer("mask", mask, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """(out, in, 1, K)."""
        return self.weight * self.mask

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H, W)."""
        padded = F.pad(features, (self.kernel_size[1] - 1, 0))
        return F.conv2d(padded, self.masked_weight, self.bias)


class GatedConvolution(nn.Module):
    """A layer of two stacks, which together see all pixels before one, without a blind spot (row 235).

    The vertical stack sees rows above, the horizontal one what is left in the row, and what the vertical one saw
    (figure 2 of Conditional image generation with PixelCNN decoders). Class and context are added where the vertical
    stack has looked up, and reach the horizontal gate from there. The horizontal stack alone has residual connections.

    Args:
        width: W, maps of each stack; `channels` or more.
        kernel_size: K, odd, of the square of which half is seen.
        channels: of a pixel; see `RowConvolution`.
        num_classes: see `ClassEmbedding`.
        context_channels: of a map of whatever else is known; 0: none.
    """

    def __init__(
        self, width: int, *, kernel_size: int, channels: int, num_classes: int | None, context_channels: int = 0
    ) -> None:
        super().__init__()
        self.reach = kernel_size // 2
        groups = color_groups(width, channels)
        self.look_up = nn.Conv2d(width, 2 * width, (self.reach + 1, kernel_size))
        nn.init.normal_(self.look_up.weight, std=_GATED_GAIN / self.look_up.weight[0].numel() ** 0.5)
        self.classes = ClassEmbedding(num_classes, 2 * width)
        self.context = nn.Conv2d(context_channels, 2 * width, 1, bias=False) if context_channels else None
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.look_back = RowConvolution(groups, groups.repeat(2), size=self.reach + 1, bias=False)
        self.onward = RowConvolution(groups, groups)

    def forward(
        self, vertical: Tensor, horizontal: Tensor, labels: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, W, H, W) of both stacks; row r of the vertical one holds what is known of rows above r."""
        above = self.look_up(F.pad(vertical, (self.reach, self.reach, self.reach, 0))) + self.told(labels, context)
        seen = self.look_back(horizontal) + self.down(above)
        return gate(above), horizontal + self.onward(gate(seen))

    def told(self, labels: Tensor | None, context: Tensor | None) -> Tensor | float:
        """What class and context add to (B, 2W, H, W).

        Raises:
            UserError: one is missing, or given in vain.
        """
        if (context is None) != (self.context is None):
            raise UserError(
                "the network takes no context: context_channels is 0" if self.context is None else "give the context"
            )
        of_class = self.classes(labels, ndim=4)
        return of_class if self.context is None else of_class + self.context(context)
