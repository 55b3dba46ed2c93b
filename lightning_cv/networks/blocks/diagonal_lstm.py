"""How does an LSTM read an image by its diagonals, so that a pixel hears of all that is above and beside it?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DiagonalLstm(nn.Module):
    """The diagonal LSTM (van den Oord et al. 2016a, section 3.2 and equation 3), of one or more images side by side.

    The state of a pixel comes of the states of the pixel before it in its row and of the one above it; outside of the
    image they are zero. All pixels of a diagonal are one step, so that H + W - 1 steps are enough, of an N x N image
    2N - 1. Gates are in the order output, forget, input, content.

    Args:
        width: of the state.
        num_directions: K, how many LSTMs, each with weights of its own, run at once.
    """

    def __init__(self, width: int, *, num_directions: int = 1) -> None:
        super().__init__()
        self.width = width
        # No bias: the inputs have one, and what is outside of the image must stay zero.
        self.weight = nn.Parameter(torch.empty(num_directions, 2 * width, 4 * width))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """States (K, B, width, H, W), of what each pixel gives to its gates (K, B, 4 * width, H, W)."""
        directions, batch, _, height, width = inputs.shape
        columns = skew(inputs).permute(4, 0, 1, 3, 2).contiguous().unbind(0)
        hidden = cell = inputs.new_zeros(directions, batch, height, self.width)
        states = []
        for column in columns:
            hidden, cell = self.step(column, hidden, cell)
            states.append(hidden)
        return unskew(torch.stack(states).permute(1, 2, 4, 3, 0), width)

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """The states of a diagonal (K, B, H, width), a pixel a row, of those of the diagonal before it."""
        above = F.pad(hidden, (0, 0, 1, 0))[:, :, :-1]
        before = torch.cat([hidden, above], -1).flatten(1, 2)
        gates = inputs + torch.bmm(before, self.weight).view(inputs.shape)
        opening, content = gates.split([3 * self.width, self.width], -1)
        output, forget, take = opening.sigmoid().chunk(3, -1)
        cell = forget * cell + take * content.tanh()
        return output * cell.tanh(), cell


def skew(maps: Tensor) -> Tensor:
    """Move each row one place further right than the one above it: (..., H, W) to (..., H, H + W - 1), else zero."""
    *others, height, width = maps.shape
    line = F.pad(maps, (0, height)).flatten(-2)[..., : height * (height + width - 1)]
    return line.view(*others, height, height + width - 1)


def unskew(maps: Tensor, width: int) -> Tensor:
    """The image (..., H, W) that was skewed."""
    *others, height, _ = maps.shape
    line = F.pad(maps.flatten(-2), (0, height))
    return line.view(*others, height, height + width)[..., :width]
