"""What few numbers stand for an image so well that a diffusion can draw those instead?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_cv.networks.blocks.coders import check_widths
from lightning_cv.networks.blocks.strided import grid_of
from lightning_cv.networks.generate.base import check_at_least, check_image
from lightning_cv.networks.generate.likelihoods import Likelihood
from lightning_cv.networks.generate.variational import VariationalAutoencoder


class KlAutoencoder(VariationalAutoencoder):
    """The first stage of latent diffusion (Rombach et al. 2022, section 3.1), by diffusers (row 261).

    A convolutional variational autoencoder whose latent vectors are images themselves, smaller ones. With a weight far
    below 1 on `kl`, as in its recipes, reconstructions are near and latent vectors are not N(0, 1): its own samples are
    poor then, and its bound true but loose. `LatentDiffusion` draws them well. The paper's perceptual and adversarial
    losses are left out. With the widths 128, 256, 512, 512, 2 blocks a level and the likelihood `Normal(std=1)` it is
    Stable Diffusion's, of 83,653,863 parameters.

    Args:
        image: (C, H, W) of the images; H and W multiples of 2 to the number of halvings.
        latent_channels: c of a latent image.
        widths: channels of each level, from the full size on; each next one has half of it.
        blocks_per_level: residual blocks of the encoder; the decoder has one more.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.

    Attributes:
        latent_image: (c, h, w).
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        latent_channels: int = 2,
        widths: tuple[int, ...] = (32, 64),
        blocks_per_level: int = 1,
        likelihood: Likelihood | None = None,
    ) -> None:
        check_image(image)
        check_widths(widths)
        check_at_least("latent_channels", latent_channels, 1)
        check_at_least("blocks_per_level", blocks_per_level, 1)
        latent_image = (latent_channels, *grid_of(image, len(widths) - 1))
        super().__init__(image, num_latents=math.prod(latent_image), likelihood=likelihood, num_classes=None)
        self.latent_image = latent_image
        from diffusers import AutoencoderKL  # loads what no other network needs

        self.autoencoder: Any = AutoencoderKL(
            in_channels=image[0],
            out_channels=self.likelihood.maps * image[0],
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=blocks_per_level,
            latent_channels=latent_channels,
            norm_num_groups=math.gcd(32, *(width // 4 or 1 for width in widths)),
            sample_size=max(image[1:]),
        )

    def encoded(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """See `VariationalAutoencoder`."""
        parts: Tensor = self.autoencoder.encode(2 * images - 1).latent_dist.parameters
        mean, log_variance = parts.flatten(1).chunk(2, 1)
        return torch.stack([mean, log_variance / 2], 1)

    def decoded(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """See `VariationalAutoencoder`."""
        outputs: Tensor = self.autoencoder.decode(latents.unflatten(1, self.latent_image)).sample
        return outputs.unflatten(1, (self.likelihood.maps, self.image[0]))
