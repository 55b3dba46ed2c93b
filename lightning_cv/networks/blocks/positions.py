"""How does a set of tokens know where each of them stands?"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError

Kind = Literal["learned", "fixed"]
Mode = Literal["add", "concatenate"]


class PositionalEncoding(nn.Module):
    """A vector for each place, added to its token or set beside it (row 97).

    The course sets them beside; torchvision's ViT, as most networks, adds learned ones. Fixed ones are sines and
    cosines of geometrically spaced wavelengths (Vaswani et al. 2017, section 3.5) and have no parameters.

    Args:
        num_tokens: how many places there are.
        width: D of a token; of the vector too, unless it stands beside.
        kind: `learned` or `fixed`.
        mode: `add`: D stays; `concatenate`: D + `position_width`.
        position_width: of a vector that stands beside; fixed ones need an even number. None: D.

    Raises:
        UserError: an unknown kind or mode, or an odd width of fixed vectors.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        *,
        kind: Kind = "learned",
        mode: Mode = "add",
        position_width: int | None = None,
    ) -> None:
        super().__init__()
        for name, given, allowed in (("kind", kind, get_args(Kind)), ("mode", mode, get_args(Mode))):
            if given not in allowed:
                raise UserError(f"PositionalEncoding: {name} is {given}; allowed: {', '.join(allowed)}")
        if mode == "add" and position_width not in (None, width):
            raise UserError(f"PositionalEncoding: position_width is {position_width}; allowed with add: {width}")
        size = position_width or width
        self.mode = mode
        if kind == "learned":
            self.vectors = nn.Parameter(0.02 * torch.randn(num_tokens, size))
        else:
            self.register_buffer("vectors", _sines(num_tokens, size), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D), or (B, N, D + position_width) beside."""
        if tokens.shape[1] != len(self.vectors):
            raise UserError(f"PositionalEncoding: {tokens.shape[1]} tokens; allowed: num_tokens, {len(self.vectors)}")
        if self.mode == "add":
            return tokens + self.vectors
        return torch.cat([tokens, self.vectors.expand(len(tokens), -1, -1).to(tokens.dtype)], dim=2)


def _sines(number: int, width: int) -> Tensor:
    """(number, width): sin and cos of position / 10000^(2 i / width) in turn."""
    if width % 2:
        raise UserError(f"PositionalEncoding: fixed vectors are {width} wide; allowed: even widths")
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(number)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
