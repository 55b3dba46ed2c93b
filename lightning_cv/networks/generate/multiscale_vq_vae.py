"""The VQ-VAE with two grids of codes: a coarse one for the whole, a fine one for what it leaves open."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.contracts import Density, Draws
from lightning_cv.networks.blocks.codebook import Codebook, Quantized
from lightning_cv.networks.blocks.strided import down, grid_of, up
from lightning_cv.networks.generate.base import Autoregressive, Generative, check_at_least
from lightning_cv.networks.generate.likelihoods import DiscretizedLogistic, Likelihood
from lightning_cv.networks.generate.vq_vae import check_prior, code_prior


class MultiscaleVqVae(Generative):
    """VQ-VAE-2 with two levels (Razavi et al. 2019; row 245): p(x) from p(top) p(bottom | top) p(x | top, bottom).

    The top grid has half the height and width of the bottom one, which is encoded beside what the top says. As for
    `VqVae` the sum of the logarithms is not above log p(x). Departing from the paper, the decoder also learns the image
    of the top codes alone, the bottom being 0, as the loss `coarse`: so that these have an image.

    Args:
        image: (C, H, W).
        num_classes: see `Generative`.
        num_codes: K, vectors in each of the two books.
        code_width: of a vector.
        width: channels of encoders and decoders.
        num_halvings: how often height and width are halved down to the bottom grid.
        num_blocks: residual blocks of each.
        likelihood: p(x | codes); None: discretized logistic, 17 levels.
        top_prior: p(top), a network of images (1, h / 2, w / 2) with `num_codes` levels; None: a small PixelCNN.
        bottom_prior: p(bottom | top), of images (1, h, w), that takes `code_width` channels of context, the vectors of
            the top codes; None: a small PixelCNN.
    """

    density = Density.BOUNDED
    nll_terms = ("reconstruction", "prior_top", "prior_bottom")
    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_classes: int | None = None,
        num_codes: int = 64,
        code_width: int = 16,
        width: int = 64,
        num_halvings: int = 1,
        num_blocks: int = 2,
        likelihood: Likelihood | None = None,
        top_prior: Autoregressive | None = None,
        bottom_prior: Autoregressive | None = None,
    ) -> None:
        likelihood = likelihood or DiscretizedLogistic(17)
        super().__init__(image, levels=likelihood.levels, num_classes=num_classes)
        check_at_least("num_codes", num_codes, 2)
        self.num_codes = num_codes
        self.likelihood = likelihood
        bottom_grid = grid_of(image, num_halvings)
        top_grid = grid_of((1, *bottom_grid), 1)
        sizes = {"width": width, "num_blocks": num_blocks}
        self.bottom_encoder = down(image[0], width, num_halvings=num_halvings, **sizes)
        self.top_encoder = down(width, code_width, num_halvings=1, **sizes)
        self.top_codebook = Codebook(num_codes, code_width)
        self.top_decoder = up(code_width, code_width, num_doublings=1, **sizes)
        self.join = nn.Conv2d(width + code_width, code_width, 1)
        self.bottom_codebook = Codebook(num_codes, code_width)
        self.decoder = up(2 * code_width, likelihood.maps * image[0], num_doublings=num_halvings, **sizes)
        self.top_prior = top_prior or code_prior(top_grid, num_codes, num_classes=num_classes)
        self.bottom_prior = bottom_prior or code_prior(
            bottom_grid, num_codes, num_classes=num_classes, context_channels=code_width
        )
        check_prior("top_prior", self.top_prior, top_grid, levels=num_codes, num_classes=num_classes)
        check_prior(
            "bottom_prior",
            self.bottom_prior,
            bottom_grid,
            levels=num_codes,
            num_classes=num_classes,
            context_channels=code_width,
        )

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Each (B,): those of `nll_terms` in nats, `coarse` too, and `commitment` of both grids."""
        encoded = self._encode(images)
        log_p_image, log_p_top, log_p_bottom = self._log_probs(images, labels, encoded)
        coarse = self._outputs(encoded.guide, torch.zeros_like(encoded.bottom.vectors))
        if self.training:
            self.top_codebook.follow(encoded.top_features, encoded.top.codes, draws)
            self.bottom_codebook.follow(encoded.bottom_features, encoded.bottom.codes, draws)
        return {
            "reconstruction": -log_p_image,
            "coarse": -self.likelihood.log_prob(coarse, images),
            "commitment": encoded.top.commitment + encoded.bottom.commitment,
            "prior_top": -log_p_top,
            "prior_bottom": -log_p_bottom,
        }

    @torch.no_grad()
    def bound(self, images: Tensor, labels: Tensor | None, draws: Draws, *, num_samples: int = 1) -> Tensor:
        """(B,) float32 in nats, not above log p(x); the encoders are certain, so that more samples say no more."""
        return torch.stack(self._log_probs(images, labels, self._encode(images))).sum(0)

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]: top codes, bottom codes that go with them, and pixels."""
        top = self.top_prior.sample_values(draws, labels)[:, 0]
        bottom = self.bottom_prior.sample_values(draws, labels, self._context(top))[:, 0]
        return self.likelihood.draw(self._outputs_of_codes([top, bottom]), draws.uniform(*self.image))

    def codes(self, images: Tensor) -> Sequence[Tensor]:
        """Two grids int64 in [0, num_codes): top (B, h / 2, w / 2) and bottom (B, h, w)."""
        encoded = self._encode(images)
        return [encoded.top.codes, encoded.bottom.codes]

    def decode_codes(self, codes: Sequence[Tensor]) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], the mean image of the codes; of the top grid alone a coarse one."""
        return self.likelihood.mean(self._outputs_of_codes(codes))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]: the mean image of the codes of each image."""
        return self.decode_codes(self.codes(images))

    def _encode(self, images: Tensor) -> "_Encoded":
        features = self.bottom_encoder(2 * images - 1)
        top_features = self.top_encoder(features)
        top = self.top_codebook(top_features)
        guide = self.top_decoder(top.vectors)
        bottom_features = self.join(torch.cat([features, guide.to(features.dtype)], 1))
        return _Encoded(top_features, top, guide, bottom_features, self.bottom_codebook(bottom_features))

    def _log_probs(self, images: Tensor, labels: Tensor | None, encoded: "_Encoded") -> tuple[Tensor, Tensor, Tensor]:
        """Of images with these codes, of the top codes, and of the bottom ones given these: each (B,) in nats."""
        top, bottom = encoded.top.codes, encoded.bottom.codes
        return (
            self.likelihood.log_prob(self._outputs(encoded.guide, encoded.bottom.vectors), images),
            self.top_prior.log_prob_of_values(top[:, None], labels),
            self.bottom_prior.log_prob_of_values(bottom[:, None], labels, self._context(top)),
        )

    def _context(self, top: Tensor) -> Tensor:
        """(B, D, h, w), the vectors of the top codes (B, h / 2, w / 2), each for four bottom codes."""
        return F.interpolate(self.top_codebook.look_up(top), scale_factor=2.0)

    def _outputs_of_codes(self, codes: Sequence[Tensor]) -> Tensor:
        guide = self.top_decoder(self.top_codebook.look_up(codes[0]))
        bottom = self.bottom_codebook.look_up(codes[1]) if len(codes) > 1 else torch.zeros_like(guide)
        return self._outputs(guide, bottom)

    def _outputs(self, guide: Tensor, bottom: Tensor) -> Tensor:
        """(B, P, C, H, W) of what the top says and the bottom vectors, each (B, D, h, w)."""
        outputs: Tensor = self.decoder(torch.cat([guide, bottom.to(guide.dtype)], 1))
        return outputs.unflatten(1, (self.likelihood.maps, self.image[0]))


class _Encoded(NamedTuple):
    """What the encoders make of images: features, and what they were rounded to; `guide` is what the top says."""

    top_features: Tensor
    top: Quantized
    guide: Tensor
    bottom_features: Tensor
    bottom: Quantized
