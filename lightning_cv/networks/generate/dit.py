"""What noise is in an image, if a transformer looks at its patches?"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.generate.base import check_at_least, check_image

SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
_TIME_WIDTH = 256  # of the sines and cosines of a time
_LONGEST = 10_000.0  # of their wavelengths, over 2 pi
_EPS = 1e-6  # of the norms


class Dit(nn.Module):
    """The diffusion transformer with adaLN-zero (Peebles and Xie 2023, section 3.2; row 262): a `Denoiser`.

    Patches are tokens with fixed places. Time and class say by how much each layer's norm is scaled and shifted, and
    how much of the layer counts: nothing at first (adaLN-zero), so that the output starts at exactly 0. With
    `image=(4, 32, 32)`, `num_classes=1000`, `learn_sigma=True` a size has the parameters that the paper says, those of
    the places, which are fixed, among them.

    Args:
        image: (C, H, W), such as that of latents.
        num_classes: see `Denoiser`; the last row of the table stands for no class.
        patch_px: side of a patch; divides H and W.
        size: `S`, `B`, `L` or `XL` as published, or [width, depth, heads], where the width is a multiple of 4 and of
            the heads.
        learn_sigma: the last layer also says a variance of each value, as published: see `noise_and_variance`. As a
            denoiser it gives the noise alone, and what is for the variance does not learn.

    Raises:
        UserError: names the key and what is allowed.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_classes: int | None = None,
        patch_px: int = 2,
        size: Literal["S", "B", "L", "XL"] | tuple[int, int, int] = (64, 3, 4),
        learn_sigma: bool = False,
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("num_classes", num_classes, 1)
        width, depth, num_heads = _checked_size(size)
        grid = _grid(image, patch_px)
        self.image, self.num_classes = image, num_classes
        self.out_channels = image[0] * (2 if learn_sigma else 1)
        self.patch_px = patch_px
        self.patches = nn.Conv2d(image[0], width, patch_px, stride=patch_px)
        self.positions = nn.Parameter(grid_positions(grid, width), requires_grad=False)
        self.time = nn.Sequential(nn.Linear(_TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = ClassEmbedding(None if num_classes is None else num_classes + 1, width)
        self.blocks = nn.ModuleList(_Block(width, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, patch_px**2 * self.out_channels)
        self._start()

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """The noise (B, C, H, W) float32; see `Denoiser`."""
        return self._outputs(noisy, time, labels)[:, : self.image[0]]

    def noise_and_variance(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Twice (B, C, H, W) float32: the noise, and where each variance lies between its bounds, -1 to 1.

        The second is what Nichol and Dhariwal 2021 (equation 15) interpolate by.

        Raises:
            UserError: `learn_sigma` is false.
        """
        if self.out_channels == self.image[0]:
            raise UserError("Dit: learn_sigma is false, so that there is no variance; allowed: true")
        noise, variance = self._outputs(noisy, time, labels).chunk(2, 1)
        return noise, variance

    def _outputs(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """(B, C or 2 C, H, W) float32."""
        tokens = self.patches(noisy).flatten(2).transpose(1, 2) + self.positions
        told = F.silu(self.time(time_waves(time, _TIME_WIDTH)) + self.classes(labels))
        for block in self.blocks:
            tokens = block(tokens, told)
        shift, scale = self.modulation(told)[:, None].chunk(2, -1)
        return self._in_image(self.head(_modulated(self.norm(tokens), shift, scale))).float()

    def _in_image(self, tokens: Tensor) -> Tensor:
        """(B, out_channels, H, W) of tokens (B, N, values of a patch), whose channels come last."""
        p, (height, width) = self.patch_px, self.image[1:]
        patches = tokens.view(len(tokens), height // p, width // p, p, p, self.out_channels)
        return patches.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), self.out_channels, height, width)

    def _start(self) -> None:
        """As published: Glorot's weights, small embeddings, and 0 where adaLN-zero wants it."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.data.flatten(1))
                nn.init.zeros_(_bias(module))
        told = [layer.weight for layer in self.time if isinstance(layer, nn.Linear)]
        for weight in (*told, *self.classes.parameters()):
            nn.init.normal_(weight, std=0.02)
        silent = [module.modulation for module in self.modules() if isinstance(module, Dit | _Block)]
        for layer in (*silent, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class _Block(nn.Module):
    """Attention and two layers, each with a norm that is told its scale and shift, and a gate that starts at 0.

    Args:
        width: of a token.
        num_heads: of attention; divides the width.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=_EPS, elementwise_affine=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, tokens: Tensor, told: Tensor) -> Tensor:
        """Map (B, N, width), told of by (B, width), to the same shape."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(told)[:, None].chunk(6, -1)
        tokens = tokens + gate_a * self._attend(_modulated(self.norms[0](tokens), shift_a, scale_a))
        mixed: Tensor = tokens + gate_m * self.mlp(_modulated(self.norms[1](tokens), shift_m, scale_m))
        return mixed

    def _attend(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended: Tensor = self.mix(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return attended


def time_waves(time: Tensor, width: int) -> Tensor:
    """Cosines and sines (B, width) of times (B,), of geometrically spaced wavelengths (Nichol et al. 2021, GLIDE)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=time.device) * (-math.log(_LONGEST) / half))
    angles = time.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def grid_positions(grid: tuple[int, int], width: int) -> Tensor:
    """(1, h w, width), of each patch: sines and cosines of its column, then of its row (He et al. 2022, MAE)."""
    rates = _LONGEST ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in grid], indexing="ij")
    angles = [place.flatten()[:, None] * rates for place in (columns, rows)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], 1).float()[None]


def _modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return tokens * (1 + scale) + shift


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _checked_size(size: str | tuple[int, int, int]) -> tuple[int, int, int]:
    """Width, depth and heads."""
    if isinstance(size, str):
        if size not in SIZES:
            raise UserError(f"Dit: size is {size}; allowed: {', '.join(SIZES)}, or [width, depth, heads]")
        return SIZES[size]
    width, depth, num_heads = size
    if min(size) < 1 or width % num_heads or width % 4:
        raise UserError(
            f"Dit: size is {list(size)}; allowed: [width, depth, heads], each 1 or more, and the width a multiple of 4 "
            "and of the heads"
        )
    return width, depth, num_heads


def _grid(image: tuple[int, int, int], patch_px: int) -> tuple[int, int]:
    """Rows and columns of patches."""
    _, height, width = image
    if patch_px < 1 or height % patch_px or width % patch_px:
        raise UserError(
            f"Dit: patch_px is {patch_px} of images {height} x {width}; allowed: 1 or more, a divisor of both"
        )
    return height // patch_px, width // patch_px
