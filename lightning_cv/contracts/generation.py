"""What do tasks, networks and tools know of a network that has learned a distribution of images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


class Density(StrEnum):
    """What a network knows of the density p(x) of an image (row 230)."""

    TRACTABLE = "tractable"  # log p(x) itself: `HasLogProb`
    BOUNDED = "bounded"  # a number that is not above log p(x): `HasBound`
    UNNORMALIZED = "unnormalized"  # log p(x) up to a constant that nobody can compute: `HasEnergy`
    IMPLICIT = "implicit"  # samples, and no number
    NONE = "none"  # no distribution, and so no samples: only a code of each image, and the image of a code


class Draws(Protocol):
    """Random numbers for B images."""

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) float32 in (0, 1)."""
        ...

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) float32 from N(0, 1)."""
        ...

    def __len__(self) -> int:
        """B."""
        ...


class GenerativeNetwork(Protocol):
    """A network that the task `Generate` trains; images have values in [0, 1].

    Args:
        density: what it knows of p(x), and so which of the protocols below it keeps.
        image: (C, H, W) of the images.
        levels: how many values a pixel can take, k / (levels - 1), and over which p(x) sums to 1; None: p(x) is a
            density over real numbers, or there is none.
        num_classes: it learns p(x | label) of so many classes; None: p(x).
        nll_terms: those of its loss terms whose sum is -log p(x), or a number not below that, of each image.
    """

    density: Density
    image: tuple[int, int, int]
    levels: int | None
    num_classes: int | None
    nll_terms: tuple[str, ...]

    def __call__(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Named losses: each (B,), one number an image, in nats where it is in `nll_terms`; or a scalar for all.

        Sums over the dimensions of an image, never means, so that a bound is a bound. With `draws` that belong to each
        image, what is said of an image in evaluation depends on no other.

        Args:
            images: (B, C, H, W) float32 in [0, 1].
            labels: (B,) int64, None where `num_classes` is None.
            draws: for B images.
        """
        ...

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], new images; each depends on its own draws and label alone.

        Raises:
            UserError: the network has no distribution.
        """
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """A tractable density."""

    def log_prob(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32, log p(x) in nats."""
        ...


@runtime_checkable
class HasBound(Protocol):
    """A bounded density."""

    def bound(self, images: Tensor, labels: Tensor | None, draws: Draws, *, num_samples: int = 1) -> Tensor:
        """(B,) float32, whose expectation is not above log p(x), in nats; nearer with more importance samples."""
        ...


@runtime_checkable
class HasEnergy(Protocol):
    """A density known up to a constant."""

    def free_energy(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32, -log p(x) plus a constant, in nats."""
        ...


@dataclass(frozen=True)
class Posterior:
    """A diagonal normal distribution of the latent vector of each image.

    Args:
        mean: (B, Z) float32.
        std: (B, Z) float32 above 0; None: the code is certain.
    """

    mean: Tensor
    std: Tensor | None = None


@runtime_checkable
class DecodesLatents(Protocol):
    """An image for each latent vector, where those of samples come from N(0, 1): what can be walked through."""

    num_latents: int

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]: the (mean) image of each latent vector (B, Z)."""
        ...


@runtime_checkable
class MapsLatents(DecodesLatents, Protocol):
    """Latent vectors that are mapped to others before anything is drawn, as a style is (row 250)."""

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, W) float32 of latent vectors (B, Z)."""
        ...

    def decode_mapped(self, mapped: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of mapped ones (B, W): `decode` is one after the other."""
        ...


@runtime_checkable
class HasLatents(DecodesLatents, Protocol):
    """An encoder to vectors too."""

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """The latent vectors of images (B, C, H, W) in [0, 1]."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """An encoder and a decoder of any kind of code."""

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]: the images of their own codes."""
        ...


@runtime_checkable
class HasCodes(Protocol):
    """Codes out of a book, on grids: one for each scale, the coarsest first."""

    num_codes: int

    def codes(self, images: Tensor) -> Sequence[Tensor]:
        """Grids (B, h, w) int64 in [0, num_codes)."""
        ...

    def decode_codes(self, codes: Sequence[Tensor]) -> Tensor:
        """(B, C, H, W) float32 in [0, 1]; with the first grids alone, a coarse image."""
        ...


@runtime_checkable
class ReadsCaptions(Protocol):
    """A distribution of images given a text."""

    def sample_caption(self, draws: Draws, caption: str) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], new images of one caption, which may be none of those of the training.

        Raises:
            UserError: a word that is unknown, or too many; or a network that reads none after all.
        """
        ...


@dataclass(frozen=True)
class GeneratedOutput:
    """What is known of each image of a scored batch; None: the network does not say.

    Args:
        nll: (B,) float32, -log p(x) or a number not below it, in nats.
        importance: (B,) float32, the same from several importance samples.
        squared_error: (B,) float32, mean over the values of an image of (reconstruction - image)^2.
        reconstruction: (B, C, H, W) float32 in [0, 1].
        latents: (B, Z) float32, mean of the posterior.
        codes: grids (B, h, w) int64.
        controlled: (B, 2) float32 in [-1, 1], how well a sample agrees with the control of the image that it follows,
            and one that does not follow it.
    """

    nll: Tensor | None = None
    importance: Tensor | None = None
    squared_error: Tensor | None = None
    reconstruction: Tensor | None = None
    latents: Tensor | None = None
    codes: Sequence[Tensor] = ()
    controlled: Tensor | None = None
