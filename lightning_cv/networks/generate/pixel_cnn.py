"""How likely is each value of a pixel, if a convolution sees those before it?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.gated_convolution import GatedConvolution, RowConvolution, color_groups
from lightning_cv.networks.generate.base import Autoregressive, check_at_least
from lightning_cv.networks.generate.pixel_memory import draw_with_memory
from lightning_cv.ops.levels import from_levels


class PixelCnn(Autoregressive):
    """The gated PixelCNN (van den Oord et al. 2016, Conditional image generation with PixelCNN decoders; row 235).

    A first convolution that does not see the pixel itself, gated layers of a vertical and a horizontal stack, and two
    1 x 1 convolutions to the scores, which start at 0: every value is as likely at first.

    Values of pixels are numbers in [-1, 1], so that what is learned of one gray holds for its neighbours. Codes out of
    a book have no order, and code 7 is no nearer to 8 than to 300: each gets a vector of its own that is learned.

    Args:
        image: (C, H, W).
        levels: L, values that a pixel can take, or codes of the book.
        num_classes: see `Generative`.
        width: maps of each stack, C or more, shared out evenly among the channels.
        num_layers: gated ones.
        kernel_size: of all convolutions, odd; half of the square is seen.
        ordered: values are numbers; else they are codes.
        context_channels: of a map (B, context_channels, H, W) that is known beforehand, such as a coarser grid of
            codes; 0: there is none.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        width: int = 32,
        num_layers: int = 4,
        kernel_size: int = 3,
        ordered: bool = True,
        context_channels: int = 0,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        _check_sizes(image[0], width, num_layers, kernel_size)
        self.context_channels = context_channels
        channels, self.reach = image[0], kernel_size // 2
        groups = color_groups(width, channels)
        self.codes: nn.Embedding | None = None if ordered else nn.Embedding(levels, width)
        entering = torch.arange(channels).repeat_interleave(1 if ordered else width)
        entering = torch.cat([torch.tensor([-1]), entering])
        self.look_up = nn.Conv2d(len(entering), width, (self.reach + 1, kernel_size))
        self.look_back = RowConvolution(entering, groups, size=self.reach + 1, strict=True)
        self.layers = nn.ModuleList(
            GatedConvolution(
                width,
                kernel_size=kernel_size,
                channels=channels,
                num_classes=num_classes,
                context_channels=context_channels,
            )
            for _ in range(num_layers)
        )
        self.hidden = RowConvolution(groups, groups)
        self.head = RowConvolution(groups, torch.arange(channels).repeat_interleave(levels))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`."""
        entered = self.enter(values)
        # One row more above, and none below: row r sees those above r.
        vertical = self.look_up(F.pad(entered[:, :, :-1], (self.reach, self.reach, self.reach + 1, 0)))
        horizontal = self.look_back(entered)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, labels, context)
        scores: Tensor = self.head(self.hidden(horizontal.relu()).relu())
        return scores.unflatten(1, (self.image[0], self.levels)).transpose(1, 2)

    def draw_values(self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """See `Autoregressive`; a value costs a column of activations."""
        return draw_with_memory(self, uniform, labels, context)

    def enter(self, values: Tensor) -> Tensor:
        """Maps (B, 1 + C or 1 + C * width, H, W) of values (B, C, H, W); the first is 1, and tells where images end."""
        if self.codes is None:
            numbers = 2 * from_levels(values, self.levels) - 1
        else:
            numbers = self.codes(values).permute(0, 1, 4, 2, 3).flatten(1, 2)
        return torch.cat([torch.ones_like(numbers[:, :1]), numbers], 1)


def _check_sizes(channels: int, width: int, num_layers: int, kernel_size: int) -> None:
    check_at_least("num_layers", num_layers, 1)
    check_at_least("width", width, channels)
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise UserError(f"network: kernel_size is {kernel_size}; allowed: odd, 3 or more")
