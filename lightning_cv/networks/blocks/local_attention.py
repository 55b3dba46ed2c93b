"""What does each place of a map see if it may ask its neighbours only?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError


class LocalAttention(nn.Module):
    """Each place asks the K x K places around it, with 1x1 convolutions for queries, keys, values and output (row 103).

    Ramachandran et al. 2019, section 3 (without their relative positions). Places outside of the map get no weight, so
    that a corner asks fewer. `timm.layers.HaloAttn` is the block-wise approximation. K = 1: a 1x1 convolution.

    Args:
        channels: C of the map.
        window: K, odd.
        num_heads: divides the channels.

    Raises:
        UserError: an even window, or heads that do not divide the channels.
    """

    def __init__(self, channels: int, *, window: int = 3, num_heads: int = 1) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise UserError(f"LocalAttention: window is {window}; allowed: odd, 1 or more")
        if num_heads < 1 or channels % num_heads:
            raise UserError(f"LocalAttention: num_heads is {num_heads}; allowed: divisors of {channels}, the channels")
        self.window = window
        self.num_heads = num_heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        batch, channels, height, width = features.shape
        places, width_of_head = height * width, channels // self.num_heads
        # (B, heads, places, 1, d) asks (B, heads, places, K², d)
        query = self.query(features).view(batch, self.num_heads, width_of_head, places, 1).permute(0, 1, 3, 4, 2)
        around = F.unfold(self.key_value(features), self.window, padding=self.window // 2)
        around = around.view(batch, 2, self.num_heads, width_of_head, self.window**2, places)
        keys, values = around.permute(1, 0, 2, 5, 4, 3)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=self._inside(features))
        return self.output(mixed.squeeze(3).transpose(2, 3).reshape(batch, channels, height, width))

    def _inside(self, features: Tensor) -> Tensor:
        """Which neighbours of a place are in the map: (places, 1, K²) bool."""
        ones = torch.ones(1, 1, *features.shape[-2:], device=features.device)
        return F.unfold(ones, self.window, padding=self.window // 2)[0].T[:, None].bool()
