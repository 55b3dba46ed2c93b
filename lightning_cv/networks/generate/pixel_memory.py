"""How is an image drawn pixel by pixel without a pass over the whole of it for each value?"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.networks.blocks.gated_convolution import GatedConvolution, RowConvolution, gate
from lightning_cv.ops.levels import pick

if TYPE_CHECKING:
    from lightning_cv.networks.generate.pixel_cnn import PixelCnn


@torch.no_grad()
def draw_with_memory(network: PixelCnn, uniform: Tensor, labels: Tensor | None, context: Tensor | None) -> Tensor:
    """The values that `Autoregressive.draw_by_full_passes` gives, each of them from one column of activations.

    What was computed for pixels before stays as it is: the vertical stack is computed once a row, the horizontal one at
    the pixel alone (Ramachandran et al. 2017, Fast generation for convolutional autoregressive models). A value costs
    1 / (H x W) of a full pass, and the start of some operations.

    Args:
        network: whose weights draw.
        uniform: (B, C, H, W) in (0, 1).
        labels: (B,) int64 where the network is conditional.
        context: (B, `context_channels`, H, W) where it takes any.

    Returns:
        (B, C, H, W) int64 in [0, L).
    """
    channels, height, width = network.image
    values = torch.zeros(uniform.shape, dtype=torch.int64, device=uniform.device)
    above = _RowsAbove(network, labels, context)
    before = _PixelsBefore(network, len(uniform))
    for row in range(height):
        before.start_row(above.next_row(values, row))
        for column in range(width):
            before.enter(values[:, :, row, column], column)
            for channel in range(channels):
                scores = before.scores(column, channel)
                values[:, channel, row, column] = pick(scores, uniform[:, channel, row, column])
                before.enter(values[:, :, row, column], column)
    return values


class _RowsAbove:
    """The vertical stack: of each layer, the last rows of what came in."""

    def __init__(self, network: PixelCnn, labels: Tensor | None, context: Tensor | None) -> None:
        self._network = network
        self._layers = [cast(GatedConvolution, layer) for layer in network.layers]
        self._told = [layer.told(labels, context) for layer in self._layers]
        self._rows: list[Tensor | None] = [None for _ in self._layers]

    def next_row(self, values: Tensor, row: int) -> list[Tensor]:
        """Of each layer what its horizontal gate is told at each place of a row: (W, B, maps)."""
        reach = self._network.reach
        seen = self._network.enter(values[:, :, max(row - reach - 1, 0) : row])
        vertical = self._network.look_up(F.pad(seen, (reach, reach, reach + 1 - seen.shape[2], 0)))
        told = []
        for place, layer in enumerate(self._layers):
            kept = self._rows[place]
            rows = F.pad(vertical, (reach, reach, reach, 0))
            if kept is not None:
                rows[:, :, :-1] = kept
            self._rows[place] = rows[:, :, 1:]
            above = layer.look_up(rows) + self._of_row(self._told[place], row)
            told.append(layer.down(above)[:, :, 0].permute(2, 0, 1).contiguous())
            vertical = gate(above)
        return told

    @staticmethod
    def _of_row(told: Tensor | float, row: int) -> Tensor | float:
        """A class tells the same everywhere, a context something of each place."""
        return told if isinstance(told, float) or told.shape[2] == 1 else told[:, :, row, None]


class _PixelsBefore:
    """The horizontal stack: of each layer, what came in at the pixels of a row so far."""

    def __init__(self, network: PixelCnn, batch: int) -> None:
        layers = [cast(GatedConvolution, layer) for layer in network.layers]
        self._network, width = network, network.image[2]
        self._entered = _Window(network.look_back, batch, width)
        self._windows = [_Window(layer.look_back, batch, width) for layer in layers]
        self._onward = [_matrix(layer.onward) for layer in layers]
        self._hidden, self._head = _matrix(network.hidden), _matrix(network.head)
        self._told: list[Tensor] = []

    def start_row(self, told: list[Tensor]) -> None:
        """Go to the left end of the next row; see `_RowsAbove.next_row`."""
        self._told = told  # what earlier rows left in the windows is overwritten before it is seen

    def enter(self, pixel: Tensor, column: int) -> None:
        """Keep what is known of a pixel, (B, C): its channels so far."""
        self._entered.keep(self._network.enter(pixel[:, :, None, None]).flatten(1), column)

    def scores(self, column: int, channel: int) -> Tensor:
        """(B, L) of a value."""
        horizontal = self._entered.look(column, cast(Tensor, self._network.look_back.bias))
        for told, window, (weight, bias) in zip(self._told, self._windows, self._onward, strict=True):
            window.keep(horizontal, column)
            seen = window.look(column, told[column])
            horizontal = horizontal + torch.addmm(bias, gate(seen), weight)
        hidden = torch.addmm(self._hidden[1], horizontal.relu(), self._hidden[0]).relu()
        levels = self._network.levels
        own = slice(channel * levels, (channel + 1) * levels)
        return torch.addmm(self._head[1][own], hidden, self._head[0][:, own])


class _Window:
    """What a row convolution sees: a row of (B, maps), with room left of it for the padding."""

    def __init__(self, convolution: RowConvolution, batch: int, width: int) -> None:
        maps_out, self._maps, _, self._size = convolution.weight.shape
        self._weight = convolution.masked_weight[:, :, 0].permute(2, 1, 0).reshape(-1, maps_out)
        self._row = self._weight.new_zeros(batch, (width + self._size - 1) * self._maps)

    def keep(self, pixel: Tensor, column: int) -> None:
        """Write (B, maps) of a pixel."""
        end = (column + self._size) * self._maps
        self._row[:, end - self._maps : end] = pixel

    def look(self, column: int, more: Tensor) -> Tensor:
        """The convolution at a pixel that is kept, plus (B, out) or (out,)."""
        seen = self._row[:, column * self._maps : (column + self._size) * self._maps]
        return torch.addmm(more, seen, self._weight)


def _matrix(convolution: RowConvolution) -> tuple[Tensor, Tensor]:
    """Weight (in, out) and bias of a 1 x 1 convolution."""
    return convolution.masked_weight[:, :, 0, 0].t(), cast(Tensor, convolution.bias)
