"""What do residual networks look like that play an adversarial game well?"""

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import BesideClass
from lightning_cv.networks.blocks.projected_score import ProjectedScore
from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.dcgan import make_spectral
from lightning_cv.networks.generate.latent_generator import LatentGenerator, halvings

CriticNorm = Literal["none", "layer", "spectral"]


class ResidualGenerator(LatentGenerator):
    """The residual generator of WGAN-GP and SNGAN (Gulrajani et al. 2017, appendix F; Miyato et al. 2018, table 4).

    A linear layer, a residual block with batch norm for each doubling, all of one width, then batch norm, ReLU, a
    convolution of 3 x 3 and tanh. The class is a second vector beside the latent one.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z.
        num_classes: see `Generative`.
        width: channels; 256 in SNGAN's setting for CIFAR-10.
        num_doublings: of height and width, 1 or more; None: from 4 pixels or fewer on.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 64,
        num_classes: int | None = None,
        width: int = 64,
        num_doublings: int | None = None,
    ) -> None:
        super().__init__(image, num_latents=num_latents, num_classes=num_classes)
        check_at_least("width", width, 1)
        number = halvings("num_doublings", image, num_doublings)
        start = (width, image[1] // 2**number, image[2] // 2**number)
        self.given = BesideClass(num_classes, num_latents)
        self.start = nn.Sequential(
            nn.Linear(self.given.out_features, start[0] * start[1] * start[2]), nn.Unflatten(1, start)
        )
        self.blocks = nn.Sequential(*(_UpBlock(width) for _ in range(number)))
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, image[0], 3, padding=1))
        _start(self)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of latent vectors (B, Z)."""
        features = self.blocks(self.start(self.given(latents, labels)))
        return (self.head(features).float().tanh() + 1) / 2


class ResidualDiscriminator(nn.Module):
    """Their critic: residual blocks of which the first ones halve, then the sum over places of each channel.

    No batch norm, so that a gradient penalty is one of each image by itself. A conditional one scores by projection
    (Miyato and Koyama 2018).

    Args:
        image: (C, H, W) of the images.
        num_classes: it scores pairs of image and class; None: images.
        width: channels; 128 in SNGAN's setting for CIFAR-10.
        num_halvings: blocks that halve height and width, 1 or more; None: to 8 pixels or fewer, as there.
        num_flat: blocks behind these, that keep the size.
        norm: `none`; `layer`, of each image; `spectral` of each layer (Miyato et al. 2018).
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_classes: int | None = None,
        width: int = 64,
        num_halvings: int | None = None,
        num_flat: int = 2,
        norm: CriticNorm = "none",
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("width", width, 1)
        check_at_least("num_flat", num_flat, 0)
        if norm not in get_args(CriticNorm):
            raise UserError(f"network: norm is {norm}; allowed: {', '.join(get_args(CriticNorm))}")
        self.image, self.num_classes = image, num_classes
        usual = max(1, halvings("num_halvings", image, None) - 1)
        number = halvings("num_halvings", image, num_halvings or usual)
        has_norm = norm == "layer"
        self.first = _FirstBlock(image[0], width)
        self.blocks = nn.Sequential(*(_Block(width, halves=True, norm=has_norm) for _ in range(number - 1)))
        self.blocks.extend(_Block(width, halves=False, norm=has_norm) for _ in range(num_flat))
        self.score = ProjectedScore(width, num_classes)
        _start(self)
        if norm == "spectral":
            make_spectral(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32 logits, high for what looks real, of images (B, C, H, W) in [0, 1]."""
        features = F.relu(self.blocks(self.first(2 * images - 1)))
        scores: Tensor = self.score(features.sum((2, 3)), labels)
        return scores


class _UpBlock(nn.Module):
    """Of a generator: norm, ReLU, double, convolution, norm, ReLU, convolution; 1 x 1 beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)  # the norm behind it has one
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, 2H, 2W) of (B, width, H, W)."""
        inner = self.conv1(_doubled(F.relu(self.norm1(features))))
        shortcut: Tensor = self.shortcut(_doubled(features))
        return self.conv2(F.relu(self.norm2(inner))) + shortcut


class _Block(nn.Module):
    """Of a discriminator: (norm,) ReLU, convolution, twice; the mean of 2 x 2 where it halves."""

    def __init__(self, width: int, *, halves: bool, norm: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) if norm else nn.Identity() for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(width, width, 1) if halves else nn.Identity()
        self.pool = nn.AvgPool2d(2) if halves else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W), or of half the size."""
        inner = features
        for norm, conv in zip(self.norms, self.convs, strict=True):
            inner = conv(F.relu(norm(inner)))
        pooled: Tensor = self.pool(inner + self.shortcut(features))
        return pooled


class _FirstBlock(nn.Module):
    """The first one of a discriminator, which halves: no ReLU meets the pixels themselves."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, width, H / 2, W / 2) of images in [-1, 1]."""
        inner = self.conv2(F.relu(self.conv1(images)))
        shortcut: Tensor = self.shortcut(F.avg_pool2d(images, 2))
        return F.avg_pool2d(inner, 2) + shortcut


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def _start(network: nn.Module) -> None:
    """As Miyato et al.'s code: uniform of Glorot and Bengio 2010, with gain √2 inside of blocks; biases 0."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight, gain=2**0.5 if "conv" in name else 1.0)
            assert module.bias is None or isinstance(module.bias, Tensor)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
