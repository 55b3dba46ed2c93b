"""What do plain convolutions look like that play an adversarial game well?"""

from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import BesideClass
from lightning_cv.networks.blocks.projected_score import ProjectedScore
from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.latent_generator import LatentGenerator, halvings

DiscriminatorNorm = Literal["batch", "spectral", "none"]


class DcganGenerator(LatentGenerator):
    """DCGAN (Radford et al. 2016, figure 1): a linear layer, then transposed convolutions of 4 x 4 that double.

    Batch norm and ReLU behind each but the last, which ends in tanh; weights from N(0, 0.02). At 64 pixels and width
    128 it is the paper's, with 1,024 channels at 4 x 4. The class is a second vector beside the latent one.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z.
        num_classes: see `Generative`.
        width: channels before the last layer; they double at each coarser one.
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
        widths = [width * 2**power for power in reversed(range(number))]
        start = (widths[0], image[1] // 2**number, image[2] // 2**number)
        self.given = BesideClass(num_classes, num_latents)
        self.start = nn.Sequential(nn.Linear(self.given.out_features, start[0] * start[1] * start[2], bias=False))
        self.start.append(nn.Unflatten(1, start)).append(nn.BatchNorm2d(widths[0])).append(nn.ReLU())
        self.doublings = nn.Sequential()
        for before, after in pairwise(widths):
            self.doublings.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
            self.doublings.append(nn.BatchNorm2d(after)).append(nn.ReLU())
        self.head = nn.ConvTranspose2d(widths[-1], image[0], 4, stride=2, padding=1)
        self.apply(_start)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of latent vectors (B, Z)."""
        features = self.doublings(self.start(self.given(latents, labels)))
        return (self.head(features).float().tanh() + 1) / 2


class DcganDiscriminator(nn.Module):
    """DCGAN's other half (Radford et al. 2016): convolutions of 4 x 4 that halve, with leaky ReLUs of slope 0.2.

    The score is linear in the last features; of a conditional one, the class has weights of its own beside those of
    all (the projection of Miyato and Koyama 2018, eq. 3).

    Args:
        image: (C, H, W) of the images.
        num_classes: it scores pairs of image and class; None: images.
        width: channels behind the first layer; they double at each coarser one.
        num_halvings: of height and width, 1 or more; None: to 4 pixels or fewer.
        norm: `batch`, behind each convolution but the first, as in the paper; `spectral` (Miyato et al. 2018) of each
            layer; `none`, as a gradient penalty wants it, which is one of each image by itself.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_classes: int | None = None,
        width: int = 64,
        num_halvings: int | None = None,
        norm: DiscriminatorNorm = "batch",
    ) -> None:
        super().__init__()
        check_image(image)
        check_at_least("width", width, 1)
        if norm not in get_args(DiscriminatorNorm):
            raise UserError(f"network: norm is {norm}; allowed: {', '.join(get_args(DiscriminatorNorm))}")
        self.image, self.num_classes = image, num_classes
        number = halvings("num_halvings", image, num_halvings)
        widths = [image[0], *(width * 2**power for power in range(number))]
        self.layers = nn.Sequential()
        for place, (before, after) in enumerate(pairwise(widths)):
            has_norm = norm == "batch" and place > 0
            self.layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not has_norm))
            if has_norm:
                self.layers.append(nn.BatchNorm2d(after))
            self.layers.append(nn.LeakyReLU(0.2))
        num_features = widths[-1] * (image[1] // 2**number) * (image[2] // 2**number)
        self.score = ProjectedScore(num_features, num_classes)
        self.apply(_start)
        if norm == "spectral":
            make_spectral(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32 logits, high for what looks real, of images (B, C, H, W) in [0, 1]."""
        scores: Tensor = self.score(self.layers(2 * images - 1).flatten(1), labels)
        return scores


def make_spectral(network: nn.Module) -> None:
    """Divide each weight of a network by its largest singular value, followed by power iteration."""
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.utils.parametrizations.spectral_norm(module)


def _start(module: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02) (the paper, section 4; its code)."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
