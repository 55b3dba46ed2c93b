"""How do all layers learn at one rate, however many inputs they have?"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_RELU_GAIN = 2**0.5


class EqualizedLinear(nn.Linear):
    """A linear layer whose weights are N(0, 1) and are multiplied by He's deviation whenever they are used.

    So an optimizer that makes steps of one size, such as Adam, changes what every layer does by as much (Karras et al.
    2018, Progressive growing of GANs, section 4.1).

    Args:
        in_features: inputs.
        out_features: outputs.
        gain: of what follows, the root of 2 for a ReLU.
        rate: by how much slower than others it learns, at the same start (Karras et al. 2019, appendix C).
        bias: at the start.
    """

    def __init__(
        self, in_features: int, out_features: int, *, gain: float = _RELU_GAIN, rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__(in_features, out_features)
        self.rate = rate
        self.scale = gain * rate / math.sqrt(in_features)
        nn.init.normal_(self.weight, std=1 / rate)
        nn.init.constant_(self.bias, bias / rate)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_features) to (B, out_features)."""
        return F.linear(features, self.weight * self.scale, self.bias * self.rate)


class EqualizedConv2d(nn.Conv2d):
    """The same of a convolution with an odd side that keeps height and width.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        side_px: of the kernel, odd.
        gain: of what follows, the root of 2 for a ReLU.
        bias: whether there is one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, side_px: int, *, gain: float = _RELU_GAIN, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, side_px, padding=side_px // 2, bias=bias)
        self.scale = gain / math.sqrt(in_channels * side_px**2)
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self._conv_forward(input, self.weight * self.scale, self.bias)


def unit_length(vectors: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Vectors (B, Z) whose numbers have a mean square of 1 (Karras et al. 2018, section 4.2)."""
    vectors = vectors.float()
    return vectors * torch.rsqrt(vectors.square().mean(1, keepdim=True) + eps)
