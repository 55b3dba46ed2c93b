"""How is a distribution of images learned that has a latent vector behind each image?"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_cv.contracts import Density, Draws, Posterior
from lightning_cv.networks.blocks.coders import (
    Coders,
    ConvDecoder,
    ConvEncoder,
    MlpDecoder,
    MlpEncoder,
    check_widths,
)
from lightning_cv.networks.generate.base import Generative, check_at_least
from lightning_cv.networks.generate.likelihoods import DiscretizedNormal, Likelihood
from lightning_cv.ops.diagonal_normal import draw_normal, kl_to_standard_normal, log_prob_of_normal

_LOG_STD = (-7.0, 4.0)  # of a posterior; beyond, nothing would be gained and numbers overflow


class _Vae(Generative):
    """The variational autoencoder (Kingma and Welling 2014; row 240): p(z) is N(0, 1), q(z|x) a diagonal normal.

    Of z the `encoder` (B, C, H, W) -> (B, 2, Z) gives the mean and the logarithm of the deviation; what the likelihood
    takes comes of the `decoder`, (B, Z) -> (B, P, C, H, W). A conditional one learns p(x | y) with the class in both
    (Sohn et al. 2015); its prior is N(0, 1) for every class.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z, 1 or more.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
        coders: the kind of encoder, and of decoder.
        widths: of the encoder's layers, from the image on; the decoder is its mirror.
    """

    density = Density.BOUNDED
    nll_terms = ("reconstruction", "kl")
    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int],
        coders: Coders,
        *,
        widths: tuple[int, ...],
        num_latents: int,
        likelihood: Likelihood | None,
        num_classes: int | None,
    ) -> None:
        likelihood = likelihood or DiscretizedNormal(17)
        super().__init__(image, levels=likelihood.levels, num_classes=num_classes)
        check_at_least("num_latents", num_latents, 1)
        encoder, decoder = coders
        sizes = {"num_latents": num_latents, "num_classes": num_classes}
        self.num_latents = num_latents
        self.likelihood = likelihood
        self.encoder = encoder(image, widths, num_heads=2, **sizes)
        self.decoder = decoder(image, widths[::-1], num_maps=likelihood.maps, **sizes)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`reconstruction`, -log p(x|z) with one draw of z, and `kl`, of q(z|x) to p(z): (B,) in nats."""
        mean, log_std = self._posterior(images, labels)
        latents = draw_normal(mean, log_std, draws.normal(self.num_latents))
        reconstruction = -self.likelihood.log_prob(self.decoder(latents, labels), images)
        return {"reconstruction": reconstruction, "kl": kl_to_standard_normal(mean, log_std)}

    def bound(self, images: Tensor, labels: Tensor | None, draws: Draws, *, num_samples: int = 1) -> Tensor:
        """(B,) float32: the log of the mean of p(x, z) / q(z|x) over draws (Burda et al. 2016, equation 8).

        Its expectation is not below the evidence lower bound, grows with the number of draws, and tends to log p(x).

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,) int64 where the network is conditional.
            draws: for B images.
            num_samples: draws of z for each image; one after another, so that memory does not grow.
        """
        check_at_least("num_samples", num_samples, 1)
        mean, log_std = self._posterior(images, labels)
        zero = torch.zeros_like(mean)
        weights = []
        for _ in range(num_samples):
            latents = draw_normal(mean, log_std, draws.normal(self.num_latents))
            log_p = self.likelihood.log_prob(self.decoder(latents, labels), images)
            log_prior = log_prob_of_normal(latents, zero, zero)
            weights.append(log_p + log_prior - log_prob_of_normal(latents, mean, log_std))
        return torch.stack(weights).logsumexp(0) - math.log(num_samples)

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """z from the prior, then x from p(x|z): (B, C, H, W) in [0, 1] (row 242).

        A draw, with the noise of its pixels; `decode` of a z gives the smooth mean that papers often show instead.
        """
        latents = draws.normal(self.num_latents)
        return self.likelihood.draw(self.decoder(latents, labels), draws.uniform(*self.image))

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """q(z|x); see `HasLatents`."""
        mean, log_std = self._posterior(images, labels)
        return Posterior(mean, log_std.exp())

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z); see `HasLatents`."""
        return self.likelihood.mean(self.decoder(latents, labels))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z) for the mean of q(z|x); see `Reconstructs`."""
        return self.decode(self.encode(images, labels).mean, labels)

    def _posterior(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the deviation, (B, Z) float32."""
        mean, log_std = self.encoder(images, labels).float().unbind(1)
        return mean, log_std.clamp(*_LOG_STD)


class MlpVae(_Vae):
    """Fully connected: one linear layer with a ReLU, then parallel linear layers, on each side (row 241).

    Those of the encoder are the mean and the logarithm of the deviation of z; those of the decoder what the likelihood
    takes of each value: of `DiscretizedNormal` and `Normal` (with `std: null`) again a mean and a deviation.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z.
        width: units of the first layer on each side.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        width: int = 512,
        likelihood: Likelihood | None = None,
        num_classes: int | None = None,
    ) -> None:
        check_at_least("width", width, 1)
        super().__init__(
            image,
            (MlpEncoder, MlpDecoder),
            widths=(width,),
            num_latents=num_latents,
            likelihood=likelihood,
            num_classes=num_classes,
        )


class ConvVae(_Vae):
    """Convolutions in the encoder, transposed convolutions in the decoder.

    Args:
        image: (C, H, W) of the images; H and W multiples of 2 to the number of widths.
        num_latents: Z.
        widths: channels of each convolution of the encoder, from the image on.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        widths: tuple[int, ...] = (32, 64),
        likelihood: Likelihood | None = None,
        num_classes: int | None = None,
    ) -> None:
        check_widths(widths)
        super().__init__(
            image,
            (ConvEncoder, ConvDecoder),
            widths=widths,
            num_latents=num_latents,
            likelihood=likelihood,
            num_classes=num_classes,
        )
