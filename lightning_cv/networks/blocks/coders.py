"""How does an image become a few numbers, and a few numbers an image?"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.blocks.residual import make_norm

Image = tuple[int, int, int]


class MlpEncoder(nn.Module):
    """Linear layers, a ReLU behind each, then parallel linear layers: one for each number that a latent unit has.

    Args:
        image: (C, H, W) of the images.
        widths: units of each hidden layer; none makes it linear.
        num_latents: Z.
        num_heads: parallel layers at the end; 2 for a mean and a deviation.
        num_classes: see `ClassEmbedding`; the class enters every hidden layer.
    """

    def __init__(
        self,
        image: Image,
        widths: Sequence[int],
        *,
        num_latents: int,
        num_heads: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden = _Hidden(math.prod(image), widths, num_classes)
        self.heads = _heads(self.hidden.out_features, num_latents, num_heads)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, heads, Z) of images (B, C, H, W) in [0, 1]."""
        hidden = self.hidden(2 * images.flatten(1) - 1, labels)
        return torch.stack([head(hidden) for head in self.heads], 1)


class MlpDecoder(nn.Module):
    """The same back: linear layers, a ReLU behind each, then parallel linear layers, one for each map.

    Args:
        image: (C, H, W) of the images.
        widths: units of each hidden layer, from the latent vector on; none makes it linear.
        num_latents: Z.
        num_maps: P, outputs of each value of the image.
        num_classes: see `ClassEmbedding`; the class enters every hidden layer.
    """

    def __init__(
        self,
        image: Image,
        widths: Sequence[int],
        *,
        num_latents: int,
        num_maps: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.image = image
        self.hidden = _Hidden(num_latents, widths, num_classes)
        self.heads = _heads(self.hidden.out_features, math.prod(image), num_maps)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, P, C, H, W) of latent vectors (B, Z)."""
        hidden = self.hidden(latents, labels)
        return torch.stack([head(hidden).view(-1, *self.image) for head in self.heads], 1)


class ConvEncoder(nn.Module):
    """Convolutions of 4 x 4 with stride 2, each with a norm and a ReLU, then parallel linear layers.

    Group norm, so that no image depends on the others of its batch.

    Args:
        image: (C, H, W) of the images; each convolution halves H and W, which must come out even.
        widths: channels of each convolution.
        num_latents: Z.
        num_heads: parallel layers at the end; 2 for a mean and a deviation.
        num_classes: see `ClassEmbedding`; the class enters the first convolution.
    """

    def __init__(
        self,
        image: Image,
        widths: Sequence[int],
        *,
        num_latents: int,
        num_heads: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        height, width = coarsest(image, len(widths))
        into = [image[0], *widths[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False) for a, b in zip(into, widths, strict=True)
        )
        self.norms = nn.ModuleList(make_norm("group", channels) for channels in widths)
        self.classes = ClassEmbedding(num_classes, widths[0])
        self.heads = _heads(widths[-1] * height * width, num_latents, num_heads)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, heads, Z) of images (B, C, H, W) in [0, 1]."""
        features = 2 * images - 1
        classes = self.classes(labels, ndim=4)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            features = (norm(convolution(features)) + (classes if number == 0 else 0.0)).relu()
        features = features.flatten(1)
        return torch.stack([head(features) for head in self.heads], 1)


class ConvDecoder(nn.Module):
    """A linear layer, then transposed convolutions of 4 x 4 with stride 2, a norm and a ReLU before each.

    Args:
        image: (C, H, W) of the images; each convolution doubles H and W.
        widths: channels before each convolution.
        num_latents: Z.
        num_maps: P, outputs of each value of the image.
        num_classes: see `ClassEmbedding`; the class enters the coarsest map.
    """

    def __init__(
        self,
        image: Image,
        widths: Sequence[int],
        *,
        num_latents: int,
        num_maps: int = 1,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.image, self.num_maps = image, num_maps
        self.coarsest = (widths[0], *coarsest(image, len(widths)))
        self.stem = nn.Linear(num_latents, math.prod(self.coarsest), bias=False)
        self.norms = nn.ModuleList(make_norm("group", channels) for channels in widths)
        self.classes = ClassEmbedding(num_classes, widths[0])
        out = [*widths[1:], num_maps * image[0]]
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=number == len(widths) - 1)
            for number, (a, b) in enumerate(zip(widths, out, strict=True))
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, P, C, H, W) of latent vectors (B, Z)."""
        features = self.stem(latents).view(-1, *self.coarsest)
        classes = self.classes(labels, ndim=4)
        for number, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            features = convolution((norm(features) + (classes if number == 0 else 0.0)).relu())
        return features.view(-1, self.num_maps, *self.image)


Coders = tuple[Callable[..., nn.Module], Callable[..., nn.Module]]  # an encoder and a decoder of these


class _Hidden(nn.Module):
    """Linear layers with a ReLU behind each; the class is added before it."""

    def __init__(self, in_features: int, widths: Sequence[int], num_classes: int | None) -> None:
        super().__init__()
        check_widths(widths, least=0)
        if not widths:
            assert num_classes is None, "there is no layer for the class to enter"
        into = [in_features, *widths]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(into, widths, strict=False))
        self.classes = nn.ModuleList(ClassEmbedding(num_classes, width) for width in widths)
        self.out_features = into[-1]

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """(B, out_features)."""
        for layer, classes in zip(self.layers, self.classes, strict=True):
            features = (layer(features) + classes(labels)).relu()
        return features


def coarsest(image: Image, halvings: int) -> tuple[int, int]:
    """Height and width after so many halvings.

    Raises:
        UserError: names the key and what is allowed.
    """
    step = 2**halvings
    if image[1] % step or image[2] % step:
        raise UserError(
            f"network: image is {list(image)} with {halvings} convolutions that halve it; allowed: height and width "
            f"multiples of {step}, or fewer widths"
        )
    return image[1] // step, image[2] // step


def check_widths(widths: Sequence[int], *, least: int = 1) -> None:
    """Refuse layers without units, or too few layers.

    Raises:
        UserError: names the key and what is allowed.
    """
    if len(widths) < least or min(widths, default=1) < 1:
        raise UserError(f"network: widths is {list(widths)}; allowed: {least} or more numbers, each 1 or more")


def _heads(in_features: int, out_features: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(in_features, out_features) for _ in range(count))
