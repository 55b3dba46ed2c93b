"""What is the basic residual block of two 3x3 convolutions?"""

import math
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError

NormName = Literal["batch", "group"]


def make_norm(name: NormName, channels: int) -> nn.Module:
    """Return a norm over `channels`: batch norm, or group norm with at most 8 groups that divide them."""
    if name not in get_args(NormName):
        raise UserError(f"norm is {name}; allowed: {', '.join(get_args(NormName))}")
    return nn.BatchNorm2d(channels) if name == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)


class BasicBlock(nn.Module):
    """relu(x + f(x)) with f = conv, norm, relu, conv, norm (He et al. 2016, fig. 2 and eq. 1).

    Where the shape changes, a 1x1 convolution and a norm carry x (their option B).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 2 halves height and width, rounded up.
        norm: batch norm or group norm.
        shortcut: x is added; without it the block is plain, relu(f(x)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        norm: NormName = "batch",
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = make_norm(norm, out_channels)
        self.shortcut: nn.Module | None = nn.Identity() if shortcut else None
        if shortcut and (stride != 1 or in_channels != out_channels):
            carry = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(carry, make_norm(norm, out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        residual = F.relu(self.norm1(self.conv1(features)), inplace=True)
        residual = self.norm2(self.conv2(residual))
        carried = 0.0 if self.shortcut is None else self.shortcut(features)
        return F.relu(residual + carried, inplace=True)
