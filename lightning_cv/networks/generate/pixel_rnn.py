"""The pixel recurrent network: an LSTM that reads all that was drawn tells what the next pixel is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.blocks.diagonal_lstm import DiagonalLstm
from lightning_cv.networks.blocks.masked import MaskedConv2d
from lightning_cv.networks.generate.base import Autoregressive, check_at_least
from lightning_cv.ops.levels import from_levels


class PixelRnn(Autoregressive):
    """PixelRNN with diagonal bidirectional LSTMs (van den Oord et al. 2016a, sections 3.2 to 3.5; row 234).

    A masked convolution, then layers of two LSTMs by diagonals, each layer with a residual connection, then two masked
    1 x 1 convolutions. One LSTM comes from the upper left, the other from the upper right; what the latter says is
    moved down by a row, since in its own row it has seen pixels that come later. R, G and B of a pixel follow each
    other: a third of all maps belongs to each, and masks let it see those before it. The last layer starts at zero, and
    so at log2(levels) bits per dimension.

    One thing is added to the paper. There no map of a pixel knows the pixel itself, and of the last pixel of a row not
    even one in that row does, so that the start of the next row never hears of it. Here the LSTM from the right also
    reads the image: moved down it may.

    Args:
        image: (C, H, W).
        levels: values that a pixel can take.
        num_classes: see `Generative`; the class adds to the gates of each LSTM.
        width: h, of the state of each LSTM, a multiple of C; there are 2h maps between layers.
        num_layers: of LSTMs.
        kernel_size: of the first convolution, odd.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        width: int = 24,
        num_layers: int = 2,
        kernel_size: int = 7,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        channels = image[0]
        check_at_least("num_layers", num_layers, 1)
        if width < 1 or width % channels:
            raise UserError(f"network: width is {width}; allowed: a multiple of the number of channels, {channels}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(f"network: kernel_size is {kernel_size}; allowed: 1, 3, 5, ...")
        maps = 2 * width
        self.first = MaskedConv2d(channels, maps, kernel_size, num_groups=channels, is_first=True)
        self.above = nn.Conv2d(channels, 4 * width, 1, bias=False)
        self.layers = nn.ModuleList(_Layer(width, num_groups=channels) for _ in range(num_layers))
        self.classes = nn.ModuleList(ClassEmbedding(num_classes, 8 * width) for _ in range(num_layers))
        self.hidden = MaskedConv2d(maps, maps, 1, num_groups=channels, is_first=False)
        self.head = MaskedConv2d(maps, levels * channels, 1, num_groups=channels, is_first=False)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`."""
        pixels = (2 * from_levels(values, self.levels) - 1).to(self.above.weight.dtype)
        maps = self.first(pixels)
        above: Tensor | float = self.above(pixels)
        for layer, classes in zip(self.layers, self.classes, strict=True):
            maps = layer(maps, above, classes(labels, ndim=4))
            above = 0.0
        scores: Tensor = self.head(self.hidden(maps.relu()).relu())
        return scores.unflatten(1, (self.levels, self.image[0]))


class _Layer(nn.Module):
    """LSTMs from the upper left and from the upper right, and a residual connection (figures 4 and 5, left)."""

    def __init__(self, width: int, *, num_groups: int) -> None:
        super().__init__()
        self.to_gates = MaskedConv2d(2 * width, 8 * width, 1, num_groups=num_groups, is_first=False)
        self.lstm = DiagonalLstm(width, num_directions=2)
        self.out = MaskedConv2d(width, 2 * width, 1, num_groups=num_groups, is_first=False)

    def forward(self, maps: Tensor, above: Tensor | float, classes: Tensor | float) -> Tensor:
        """Maps (B, 2h, H, W).

        Args:
            maps: (B, 2h, H, W).
            above: (B, 4h, H, W), what is added to the gates of the LSTM from the right.
            classes: (B, 8h, 1, 1), what is added to those of both.
        """
        left, right = (self.to_gates(maps) + classes).chunk(2, 1)
        from_left, from_right = self.lstm(torch.stack([left, (right + above).flip(-1)]))
        moved_down = F.pad(from_right.flip(-1), (0, 0, 1, 0))[:, :, :-1]
        return maps + self.out(from_left + moved_down)
