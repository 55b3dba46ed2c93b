"""What is known of images that have a latent vector behind each, whatever encodes and decodes it?"""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_cv.contracts import Density, Draws, Posterior
from lightning_cv.networks.generate.base import Generative, check_at_least
from lightning_cv.networks.generate.likelihoods import DiscretizedNormal, Likelihood
from lightning_cv.ops.diagonal_normal import draw_normal, kl_to_standard_normal, log_prob_of_normal

_LOG_STD = (-7.0, 4.0)  # of a posterior; beyond, nothing would be gained and numbers overflow


class VariationalAutoencoder(Generative):
    """The variational autoencoder (Kingma and Welling 2014; row 240): p(z) is N(0, 1), q(z|x) a diagonal normal.

    An author writes `encoded` and `decoded`.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z, 1 or more.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    density = Density.BOUNDED
    nll_terms = ("reconstruction", "kl")
    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int],
        *,
        num_latents: int,
        likelihood: Likelihood | None,
        num_classes: int | None,
    ) -> None:
        likelihood = likelihood or DiscretizedNormal(17)
        super().__init__(image, levels=likelihood.levels, num_classes=num_classes)
        check_at_least("num_latents", num_latents, 1)
        self.num_latents = num_latents
        self.likelihood = likelihood

    @abstractmethod
    def encoded(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Mean of z and logarithm of its deviation, (B, 2, Z), of images (B, C, H, W) in [0, 1]."""

    @abstractmethod
    def decoded(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """What the likelihood takes, (B, P, C, H, W), of latent vectors (B, Z)."""

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`reconstruction`, -log p(x|z) with one draw of z, and `kl`, of q(z|x) to p(z): (B,) in nats."""
        mean, log_std = self._posterior(images, labels)
        latents = draw_normal(mean, log_std, draws.normal(self.num_latents))
        reconstruction = -self.likelihood.log_prob(self.decoded(latents, labels), images)
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
            log_p = self.likelihood.log_prob(self.decoded(latents, labels), images)
            log_prior = log_prob_of_normal(latents, zero, zero)
            weights.append(log_p + log_prior - log_prob_of_normal(latents, mean, log_std))
        return torch.stack(weights).logsumexp(0) - math.log(num_samples)

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """z from the prior, then x from p(x|z): (B, C, H, W) in [0, 1] (row 242).

        A draw, with the noise of its pixels; `decode` of a z gives the smooth mean that papers often show instead.
        """
        latents = draws.normal(self.num_latents)
        return self.likelihood.draw(self.decoded(latents, labels), draws.uniform(*self.image))

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """q(z|x); see `HasLatents`."""
        mean, log_std = self._posterior(images, labels)
        return Posterior(mean, log_std.exp())

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z); see `HasLatents`."""
        return self.likelihood.mean(self.decoded(latents, labels))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z) for the mean of q(z|x); see `Reconstructs`."""
        return self.decode(self.encode(images, labels).mean, labels)

    def _posterior(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the deviation, (B, Z) float32."""
        mean, log_std = self.encoded(images, labels).float().unbind(1)
        return mean, log_std.clamp(*_LOG_STD)
