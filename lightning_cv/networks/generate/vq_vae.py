"""The VQ-VAE: images become codes out of a book, and the codes have a distribution of their own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lightning_cv.contracts import Density, Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.codebook import Codebook, Quantized
from lightning_cv.networks.blocks.strided import down, grid_of, up
from lightning_cv.networks.generate.base import Autoregressive, Generative, check_at_least
from lightning_cv.networks.generate.likelihoods import DiscretizedLogistic, Likelihood
from lightning_cv.networks.generate.pixel_cnn import PixelCnn


class VqVae(Generative):
    """VQ-VAE (van den Oord et al. 2017) with an autoregressive prior over its codes (row 244).

    The encoder rounds the image to a grid of codes c(x), the decoder says p(x | c). Since p(x) is the sum of p(c)
    p(x | c) over all grids, log p(x) is not below log p(x | c(x)) + log p(c(x)). The prior learns in the same steps,
    from codes that no gradient goes through, where the paper trains it afterwards. The class is for the prior.

    Args:
        image: (C, H, W).
        num_classes: see `Generative`.
        num_codes: K, vectors in the book.
        code_width: of a vector.
        width: channels of encoder and decoder.
        num_halvings: how often the encoder halves height and width.
        num_blocks: residual blocks of each.
        likelihood: p(x | c); None: discretized logistic, 17 levels.
        prior: p(c), a network of images (1, h, w) with `num_codes` levels and the same classes; None: a small
            PixelCNN.
    """

    density = Density.BOUNDED
    nll_terms = ("reconstruction", "prior")
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
        prior: Autoregressive | None = None,
    ) -> None:
        likelihood = likelihood or DiscretizedLogistic(17)
        super().__init__(image, levels=likelihood.levels, num_classes=num_classes)
        check_at_least("num_codes", num_codes, 2)
        self.num_codes = num_codes
        grid = grid_of(image, num_halvings)
        self.likelihood = likelihood
        sizes = {"width": width, "num_blocks": num_blocks}
        self.encoder = down(image[0], code_width, num_halvings=num_halvings, **sizes)
        self.codebook = Codebook(num_codes, code_width)
        self.decoder = up(code_width, likelihood.maps * image[0], num_doublings=num_halvings, **sizes)
        self.prior = prior or code_prior(grid, num_codes, num_classes=num_classes)
        check_prior("prior", self.prior, grid, levels=num_codes, num_classes=num_classes)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Each (B,): `reconstruction` and `prior` in nats, whose sum is not below -log p(x), and `commitment`.

        What else the prior has to learn is beside them, such as `caption`.
        """
        features = self.encoder(2 * images - 1)
        quantized = self.codebook(features)
        log_p_image, log_p_codes = self._log_probs(images, labels, quantized)
        if self.training:
            self.codebook.follow(features, quantized.codes, draws)
        terms = {"reconstruction": -log_p_image, "commitment": quantized.commitment, "prior": -log_p_codes}
        return {**terms, **self.prior.other_terms(labels)}

    @torch.no_grad()
    def bound(self, images: Tensor, labels: Tensor | None, draws: Draws, *, num_samples: int = 1) -> Tensor:
        """(B,) float32 in nats, not above log p(x); the encoder is certain, so that more samples say no more."""
        log_p_image, log_p_codes = self._log_probs(images, labels, self.codebook(self.encoder(2 * images - 1)))
        return log_p_image + log_p_codes

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]: codes of the prior, and pixels of the decoder."""
        return self.draw(self.prior.sample_values(draws, labels)[:, 0], draws)

    @torch.no_grad()
    def sample_caption(self, draws: Draws, caption: str) -> Tensor:
        """See `ReadsCaptions`; the prior reads it."""
        return self.draw(self.prior.values_of_caption(draws, caption)[:, 0], draws)

    def draw(self, codes: Tensor, draws: Draws) -> Tensor:
        """New images (B, C, H, W) in [0, 1] of codes (B, h, w)."""
        return self.likelihood.draw(self._outputs(self.codebook.look_up(codes)), draws.uniform(*self.image))

    def codes(self, images: Tensor) -> Sequence[Tensor]:
        """One grid (B, h, w) int64 in [0, num_codes)."""
        return [self.codebook.nearest(self.encoder(2 * images - 1))]

    def decode_codes(self, codes: Sequence[Tensor]) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], the mean image of a grid of codes."""
        return self.likelihood.mean(self._outputs(self.codebook.look_up(codes[0])))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]: the mean image of the codes of each image."""
        return self.decode_codes(self.codes(images))

    def _log_probs(self, images: Tensor, labels: Tensor | None, quantized: Quantized) -> tuple[Tensor, Tensor]:
        """Of images with these codes, and of the codes: each (B,) float32 in nats."""
        log_p_image = self.likelihood.log_prob(self._outputs(quantized.vectors), images)
        return log_p_image, self.prior.log_prob_of_values(quantized.codes[:, None], labels)

    def _outputs(self, vectors: Tensor) -> Tensor:
        """(B, P, C, H, W) of vectors (B, D, h, w)."""
        outputs: Tensor = self.decoder(vectors)
        return outputs.unflatten(1, (self.likelihood.maps, self.image[0]))


def code_prior(
    grid: tuple[int, int], num_codes: int, *, num_classes: int | None, context_channels: int = 0
) -> Autoregressive:
    """A small PixelCNN of grids (h, w) of codes."""
    return PixelCnn(
        (1, *grid), levels=num_codes, num_classes=num_classes, ordered=False, context_channels=context_channels
    )


def check_prior(
    name: str,
    prior: Autoregressive,
    grid: tuple[int, int],
    *,
    levels: int,
    num_classes: int | None,
    context_channels: int = 0,
) -> None:
    """Refuse a distribution of other codes than there are.

    Raises:
        UserError: names the key and what is allowed.
    """
    wanted = {
        "image": (1, *grid),
        "levels": levels,
        "num_classes": num_classes,
        "context_channels": context_channels,
    }
    for key, allowed in wanted.items():
        given = getattr(prior, key)
        if (tuple(given) if key == "image" else given) != allowed:
            raise UserError(f"network.{name}: its {key} is {_shown(given)}; allowed for these codes: {_shown(allowed)}")


def _shown(value: object) -> object:
    """As it stands in a recipe."""
    return "null" if value is None else list(value) if isinstance(value, tuple) else value
