"""How does an image come of a style for each layer, and of noise for what is left to chance?"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.contracts import Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.adaptive_norm import AdaIn
from lightning_cv.networks.blocks.class_embedding import BesideClass, ClassEmbedding
from lightning_cv.networks.blocks.equalized import EqualizedConv2d, EqualizedLinear, unit_length
from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.latent_generator import LatentGenerator
from lightning_cv.ops.draws import OwnDraws

_COARSEST_PX = 4
_FULL_WIDTH_PX = 32  # up to this side all grids have the full width; beyond, half as much whenever they double
_SLOPE = 0.2  # of leaky ReLUs
_MAPPING_RATE = 0.01
_NUM_FOR_MEAN = 1000  # styles whose mean truncation draws towards


class StyleGenerator(LatentGenerator):
    """StyleGAN's generator (Karras et al. 2019, section 2; row 250): `Adversarial` trains it.

    A mapping network makes a style of the latent vector; an image grows out of a learned constant, and in each layer
    the style sets the mean and the deviation of each channel, after noise was added with a learned strength. `sample`
    and `make` draw the noise, `decode` leaves it out. All sizes train at once, where the paper adds them one after the
    other and mixes styles.

    Args:
        image: (C, H, W); a side is 4 to 7, doubled as often as wanted, and both as often.
        num_latents: Z.
        num_classes: see `Generative`; the mapping network takes a vector of the class beside the latent one.
        style_width: W.
        mapping_layers: of the mapping network.
        width: channels up to 32 px; half as many at 64 px, and so on.
        truncation: in evaluation, how far a style may be from the mean one, as a share: below 1 there is less variety
            and less that looks wrong (the paper's appendix B).
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 64,
        num_classes: int | None = None,
        style_width: int = 64,
        mapping_layers: int = 8,
        width: int = 64,
        truncation: float = 1.0,
    ) -> None:
        super().__init__(image, num_latents=num_latents, num_classes=num_classes)
        for name, value in (("style_width", style_width), ("mapping_layers", mapping_layers), ("width", width)):
            check_at_least(name, value, 1)
        if not 0 <= truncation <= 1:
            raise UserError(f"network: truncation is {truncation}; allowed: 0 to 1")
        self.truncation = truncation
        self.given = BesideClass(num_classes, num_latents)
        into = [self.given.out_features, *[style_width] * (mapping_layers - 1)]
        self.mapping = nn.ModuleList(EqualizedLinear(n, style_width, rate=_MAPPING_RATE) for n in into)
        sizes = _grids(image)
        widths = [_width(width, size) for size in sizes]
        self.constant = nn.Parameter(torch.ones(1, widths[0], *sizes[0]))
        self.layers = nn.ModuleList([_Layer(None, widths[0], style_width), _Layer(widths[0], widths[0], style_width)])
        for before, channels in pairwise(widths):
            self.layers.append(_Layer(before, channels, style_width, doubles=True))
            self.layers.append(_Layer(channels, channels, style_width))
        self.to_image = EqualizedConv2d(widths[-1], image[0], 1, gain=1.0)

    def make(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], with noise; see `LatentGenerator`."""
        return self._paint(self.map_latents(draws.normal(self.num_latents), labels), draws)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], without noise; see `DecodesLatents`."""
        return self.decode_mapped(self.map_latents(latents, labels))

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, W) float32, the styles of latent vectors (B, Z); see `MapsLatents`."""
        styles = self._styles(latents, labels)
        if self.training or self.truncation == 1:
            return styles
        center = self._mean_style(latents.device)
        return center + self.truncation * (styles - center)

    def decode_mapped(self, mapped: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], without noise, of styles (B, W)."""
        return self._paint(mapped, None)

    def _styles(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        styles = unit_length(self.given(latents, labels))
        for layer in self.mapping:
            styles = F.leaky_relu(layer(styles), _SLOPE)
        return styles.float()

    @torch.no_grad()
    def _mean_style(self, device: torch.device) -> Tensor:
        """(1, W), of fixed latent vectors, of a conditional network of all classes alike."""
        index = torch.arange(_NUM_FOR_MEAN, device=device)
        labels = None if self.num_classes is None else index % self.num_classes
        return self._styles(OwnDraws.of_indices(index).normal(self.num_latents), labels).mean(0, keepdim=True)

    def _paint(self, styles: Tensor, draws: Draws | None) -> Tensor:
        features: Tensor = self.constant.expand(len(styles), -1, -1, -1)
        for layer in self.layers:
            features = layer(features, styles, draws)
        image: Tensor = self.to_image(features)
        return image.float().sigmoid()


class StyleDiscriminator(nn.Module):
    """What tells images from those of `StyleGenerator`: its mirror, with convolutions alone (the same paper).

    With classes, the score is told how well the features go with the class (Miyato and Koyama 2018, equation 4). The
    paper's deviation over the batch is left out, so that the score of an image, and its slope, are its own.

    Args:
        image: (C, H, W), as of the generator.
        num_classes: of a conditional one.
        width: channels up to 32 px; half as many at 64 px, and so on.
    """

    example_input = (1, 8, 8)

    def __init__(
        self, image: tuple[int, int, int] = (1, 8, 8), *, num_classes: int | None = None, width: int = 64
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("num_classes", num_classes, 1)
        check_at_least("width", width, 1)
        self.image, self.num_classes = image, num_classes
        sizes = _grids(image)[::-1]
        widths = [_width(width, size) for size in sizes]
        layers: list[nn.Module] = [EqualizedConv2d(image[0], widths[0], 1), nn.LeakyReLU(_SLOPE)]
        for channels, after in pairwise(widths):
            for out in (channels, after):
                layers += [EqualizedConv2d(channels, out, 3), nn.LeakyReLU(_SLOPE)]
            layers.append(nn.AvgPool2d(2))
        layers += [EqualizedConv2d(widths[-1], widths[-1], 3), nn.LeakyReLU(_SLOPE), nn.Flatten()]
        values = widths[-1] * sizes[-1][0] * sizes[-1][1]
        layers += [EqualizedLinear(values, widths[-1]), nn.LeakyReLU(_SLOPE)]
        self.features = nn.Sequential(*layers)
        self.head = EqualizedLinear(widths[-1], 1, gain=1.0)
        self.classes = ClassEmbedding(num_classes, widths[-1])

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Scores (B,) float32 of images (B, C, H, W) in [0, 1], high for what looks real."""
        features: Tensor = self.features(2 * images - 1)
        told = self.classes(labels)
        score: Tensor = self.head(features)[:, 0].float()
        return score if isinstance(told, float) else score + (features.float() * told).mean(1)


class _Layer(nn.Module):
    """A convolution (none on the constant), noise, a bias, a leaky ReLU, and a style."""

    def __init__(self, in_channels: int | None, channels: int, style_width: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.convolution = None if in_channels is None else EqualizedConv2d(in_channels, channels, 3, bias=False)
        self.doubles = doubles
        self.strength = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.style = AdaIn(channels, style_width)

    def forward(self, features: Tensor, styles: Tensor, draws: Draws | None) -> Tensor:
        """(B, channels, H, W), twice as high and wide where it doubles."""
        if self.doubles:
            features = F.interpolate(features, scale_factor=2, mode="bilinear")
        if self.convolution is not None:
            features = self.convolution(features)
        if draws is not None:
            features = features + self.strength * draws.normal(1, *features.shape[2:])
        return self.style(F.leaky_relu(features + self.bias, _SLOPE), styles)


def _grids(image: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Heights and widths from the coarsest grid to that of the image.

    Raises:
        UserError: they cannot be doubled so.
    """
    check_image(image)
    _, height, width = image
    doublings = (min(height, width) // _COARSEST_PX).bit_length() - 1
    if doublings < 0 or height % 2**doublings or width % 2**doublings:
        raise UserError(
            f"network: image is {list(image)}; allowed: a height and a width that are {_COARSEST_PX} or more, and "
            f"multiples of {2 ** max(doublings, 0)}"
        )
    return [(height // 2**n, width // 2**n) for n in range(doublings, -1, -1)]


def _width(width: int, grid: tuple[int, int]) -> int:
    return max(1, width * _FULL_WIDTH_PX // max(_FULL_WIDTH_PX, min(grid)))
