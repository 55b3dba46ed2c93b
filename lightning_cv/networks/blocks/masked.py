"""How is a layer kept from seeing what it must not?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedLinear(nn.Linear):
    """A linear layer with connections left out.

    Args:
        mask: (out, in) bool: what each output sees.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, out)."""
        return F.linear(inputs, self.weight * self.mask, self.bias)


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees pixels before its own alone, and of its own some channels (row 232).

    Channel k of a map with any number of them belongs to channel k modulo `num_groups` of the image, so that maps can
    be put after one another. Pixels go row by row, and the channels of a pixel in order.

    Args:
        in_maps: a multiple of the number of groups.
        out_maps: also.
        kernel_size: odd.
        num_groups: channels of the image.
        is_first: what comes in is the image (mask A of van den Oord et al. 2016a, section 3.4): a channel does not see
            itself. Else it does (mask B).
    """

    mask: Tensor

    def __init__(self, in_maps: int, out_maps: int, kernel_size: int, *, num_groups: int, is_first: bool) -> None:
        super().__init__(in_maps, out_maps, kernel_size, padding=kernel_size // 2)
        inside, outside = torch.arange(in_maps) % num_groups, torch.arange(out_maps) % num_groups
        middle = kernel_size // 2
        mask = torch.zeros(self.weight.shape, dtype=torch.bool)
        mask[:, :, :middle] = True
        mask[:, :, middle, :middle] = True
        mask[:, :, middle, middle] = inside[None] < outside[:, None] if is_first else inside[None] <= outside[:, None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, out, H, W)."""
        return F.conv2d(inputs, self.weight * self.mask, self.bias, padding=self.padding)
