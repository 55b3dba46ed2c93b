"""How does an image become one of another kind, of the same place, and who judges that?"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.contracts import Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.latent_generator import halvings

PatchNorm = Literal["batch", "instance"]

_WIDEST = 8  # times the width of the first layer
_NUM_NOISY = 3  # layers with dropout, behind the coarsest


class UNetTranslator(nn.Module):
    """pix2pix's generator (Isola et al. 2017, appendix A; row 253): a U-Net whose noise is dropout.

    Convolutions of 4 x 4 halve down to the coarsest grid, transposed ones double back, and each level is joined by the
    features of the way down; batch norm behind all but the first and the coarsest, leaky ReLUs down, ReLUs up. At 256
    pixels and 8 halvings it is the paper's. Dropout is drawn in evaluation too: it is all the noise that there is.

    Args:
        image: (C, H, W) of the images that come out.
        source_channels: of those that go in, of the same size.
        width: channels of the first layer; they double up to 8 times as many.
        num_halvings: of height and width, 2 or more; None: as often as it goes.
        dropout: share of features that are left out in up to three layers behind the coarsest, in [0, 1).
    """

    example_input = (1, 32, 32)

    def __init__(
        self,
        image: tuple[int, int, int] = (3, 32, 32),
        *,
        source_channels: int = 1,
        width: int = 64,
        num_halvings: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("source_channels", source_channels, 1)
        check_at_least("width", width, 1)
        check_at_least("num_halvings", num_halvings, 2)
        if not 0 <= dropout < 1:
            raise UserError(f"network: dropout is {dropout}; allowed: 0 to below 1")
        number = halvings("num_halvings", image, num_halvings or most_halvings(image))
        check_at_least("num_halvings", number, 2)
        self.image, self.source_channels, self.dropout = image, source_channels, dropout
        widths = [width * min(2**level, _WIDEST) for level in range(number)]
        down = [_down(source_channels, widths[0], norm=False)]
        down += [_down(widths[n - 1], widths[n], norm=n < number - 1) for n in range(1, number)]
        up = [_up(widths[n] * (1 if n == number - 1 else 2), widths[n - 1]) for n in range(number - 1, 0, -1)]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.head = nn.ConvTranspose2d(2 * widths[0], image[0], 4, stride=2, padding=1)
        self.apply(start_normal)

    def forward(self, source: Tensor, draws: Draws | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of the source (B, S, H, W) in [0, 1].

        Args:
            source: what the image is to be of.
            draws: for B images; None: without noise.
        """
        features, passed = 2 * source - 1, []
        for place, down in enumerate(self.down):
            features = down(F.leaky_relu(features, 0.2) if place else features)
            passed.append(features)
        for place, up in enumerate(self.up):
            features = up(features.relu() if place == 0 else torch.cat([features, passed[-1 - place]], 1).relu())
            if 0 < place <= _NUM_NOISY and place < len(self.up) - 1:
                features = self._left_out(features, draws)
        last = torch.cat([features, passed[0]], 1).relu()
        return (self.head(last).float().tanh() + 1) / 2

    def _left_out(self, features: Tensor, draws: Draws | None) -> Tensor:
        """Dropout by draws of each image."""
        if draws is None or not self.dropout:
            return features
        kept = draws.uniform(*features.shape[1:]) >= self.dropout
        return features * kept.to(features.dtype) / (1 - self.dropout)


class PatchDiscriminator(nn.Module):
    """A score for each patch of an image (Isola et al. 2017, appendix A), of pairs of images for pix2pix (row 253).

    Convolutions of 4 x 4: some that halve, then one that does not, then one to the scores; leaky ReLUs of slope 0.2. 3
    halvings make the paper's, whose scores see 70 x 70 pixels each; 1 sees 16 x 16.

    Args:
        image: (C, H, W); of pairs, the channels of both.
        width: channels of the first layer; they double up to 8 times as many.
        num_halvings: 1 or more.
        norm: behind all but the first layer: `batch`, or `instance` as for CycleGAN.
    """

    example_input = (4, 32, 32)

    def __init__(
        self,
        image: tuple[int, int, int] = (4, 32, 32),
        *,
        width: int = 64,
        num_halvings: int = 2,
        norm: PatchNorm = "batch",
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("width", width, 1)
        if norm not in get_args(PatchNorm):
            raise UserError(f"network: norm is {norm}; allowed: {', '.join(get_args(PatchNorm))}")
        number = halvings("num_halvings", image, num_halvings)
        if min(image[1:]) // 2**number < 3:
            raise UserError(
                f"network: num_halvings of image {list(image)} is {num_halvings}; allowed: as many as leave 3 pixels"
            )
        self.image = image
        widths = [width * min(2**level, _WIDEST) for level in range(number + 1)]
        self.layers = nn.Sequential(nn.Conv2d(image[0], widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        for level in range(1, number + 1):
            stride = 2 if level < number else 1
            has_bias = norm == "instance"  # which has none of its own
            self.layers.append(nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=1, bias=has_bias))
            self.layers.append(nn.BatchNorm2d(widths[level]) if norm == "batch" else nn.InstanceNorm2d(widths[level]))
            self.layers.append(nn.LeakyReLU(0.2))
        self.layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.apply(start_normal)

    def forward(self, images: Tensor) -> Tensor:
        """(B, h, w) float32 logits of patches, high for what looks real, of images (B, C, H, W) in [0, 1]."""
        scores: Tensor = self.layers(2 * images - 1)
        return scores[:, 0].float()


def most_halvings(image: tuple[int, int, int]) -> int:
    """How often both sides can be halved."""
    _, height, width = image
    return next(n for n in range(height.bit_length()) if height % 2 ** (n + 1) or width % 2 ** (n + 1))


def start_normal(module: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02) (the paper, section 6.2; its code)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _down(before: int, after: int, *, norm: bool) -> nn.Sequential:
    """Half the size."""
    layer = nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))
    return layer.append(nn.BatchNorm2d(after)) if norm else layer


def _up(before: int, after: int) -> nn.Sequential:
    """Twice the size."""
    layer = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after))
