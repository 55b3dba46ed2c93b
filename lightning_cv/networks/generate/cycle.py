"""How do images of two kinds become each other, and who judges both?"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.latent_generator import halvings
from lightning_cv.networks.generate.unet_translator import PatchDiscriminator, start_normal

_WIDEST = 4  # times the width of the first layer


class ResidualTranslator(nn.Module):
    """CycleGAN's generator, after Johnson et al. 2016 (Zhu et al. 2017, appendix 7.2).

    A convolution of 7 x 7, convolutions of 3 x 3 that halve, residual blocks, transposed ones that double, 7 x 7 and
    tanh; instance norm and ReLU behind each but the last, and borders that are mirrored.

    Args:
        image: (C, H, W) of images on both sides.
        width: channels of the first layer; they double up to 4 times as many.
        num_blocks: 0 or more; 6 for 128 pixels in the paper, 9 for 256.
        num_halvings: of height and width, 1 or more.
    """

    example_input = (3, 32, 32)

    def __init__(
        self,
        image: tuple[int, int, int] = (3, 32, 32),
        *,
        width: int = 64,
        num_blocks: int = 6,
        num_halvings: int = 2,
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("width", width, 1)
        check_at_least("num_blocks", num_blocks, 0)
        number = halvings("num_halvings", image, num_halvings)
        widths = [width * min(2**level, _WIDEST) for level in range(number + 1)]
        self.image = image
        self.layers = nn.Sequential(*_same(image[0], widths[0], 7, norm=True), nn.ReLU())
        for before, after in pairwise(widths):
            layer = nn.Conv2d(before, after, 3, stride=2, padding=1)
            self.layers.extend([layer, nn.InstanceNorm2d(after), nn.ReLU()])
        self.layers.extend(_Block(widths[-1]) for _ in range(num_blocks))
        for before, after in pairwise(widths[::-1]):
            up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
            self.layers.extend([up, nn.InstanceNorm2d(after), nn.ReLU()])
        self.layers.extend(_same(widths[0], image[0], 7, norm=False))
        self.apply(start_normal)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of images (B, C, H, W) in [0, 1]."""
        translated: Tensor = self.layers(2 * images - 1)
        return (translated.float().tanh() + 1) / 2


class CycleTranslator(nn.Module):
    """The two generators of CycleGAN (Zhu et al. 2017; row 254).

    Args:
        image: (C, H, W) of images of both kinds.
        width: see `ResidualTranslator`.
        num_blocks: see `ResidualTranslator`.
        num_halvings: see `ResidualTranslator`.
    """

    example_input = (3, 32, 32)

    def __init__(
        self,
        image: tuple[int, int, int] = (3, 32, 32),
        *,
        width: int = 64,
        num_blocks: int = 6,
        num_halvings: int = 2,
    ) -> None:
        super().__init__()
        sizes = {"width": width, "num_blocks": num_blocks, "num_halvings": num_halvings}
        self.image = image
        self.there = ResidualTranslator(image, **sizes)
        self.back = ResidualTranslator(image, **sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Images of the second kind, of those of the first."""
        translated: Tensor = self.there(images)
        return translated


class CycleDiscriminators(nn.Module):
    """The two discriminators of CycleGAN (row 254), one for each kind of images.

    Args:
        image: (C, H, W) of images of both kinds.
        width: see `PatchDiscriminator`.
        num_halvings: see `PatchDiscriminator`; 3 makes the paper's.
    """

    example_input = (3, 32, 32)

    def __init__(self, image: tuple[int, int, int] = (3, 32, 32), *, width: int = 64, num_halvings: int = 2) -> None:
        super().__init__()
        self.image = image
        self.first = PatchDiscriminator(image, width=width, num_halvings=num_halvings, norm="instance")
        self.second = PatchDiscriminator(image, width=width, num_halvings=num_halvings, norm="instance")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What both say of the same images, see `PatchDiscriminator`."""
        return self.first(images), self.second(images)


class _Block(nn.Module):
    """Twice a convolution with instance norm, ReLU between, beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_same(width, width, 3, norm=True), nn.ReLU(), *_same(width, width, 3, norm=True))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W)."""
        inner: Tensor = self.layers(features)
        return features + inner


def _same(before: int, after: int, side: int, *, norm: bool) -> list[nn.Module]:
    """A convolution that keeps the size; beyond the border the image goes on as in a mirror."""
    layer = nn.Conv2d(before, after, side, padding=side // 2, padding_mode="reflect")
    return [layer, nn.InstanceNorm2d(after)] if norm else [layer]
