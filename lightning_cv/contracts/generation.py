"""What do tasks, networks and tools know of a network that has learned a distribution of images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from lightning_cv.contracts.core import DataInfo


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


@runtime_checkable
class FollowsControl(Protocol):
    """A distribution of images given a picture of what they should look like, such as their edges."""

    def control_of(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) float32 in [0, 1], the control of images (B, C, H, W) in [0, 1]."""
        ...

    def sample_controlled(self, draws: Draws, control: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], new images that follow a control (B, 1, H, W)."""
        ...


class Denoiser(Protocol):
    """What a diffusion asks at each step: from a noisy image and the time to an image-sized answer.

    Args:
        image: (C, H, W) of what it takes and gives; of a latent diffusion those of the latents.
        num_classes: K classes that it can be told, and "none" beside them; None: it takes no class.
    """

    image: tuple[int, int, int]
    num_classes: int | None

    def __call__(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """(B, C, H, W) float32, the noise, image or velocity: whatever it is trained to give.

        Args:
            noisy: (B, C, H, W) float32, of about unit variance.
            time: (B,) float32 in [0, 1000], 1000 the noisiest.
            labels: (B,) int64 in [0, K], where K stands for no class; None where `num_classes` is None.
        """
        ...


@dataclass(frozen=True)
class Sampling:
    """How a network that draws in steps does it.

    Args:
        sampler: name of the method, see `SamplesInSteps.samplers`.
        steps: evaluations of the network (twice as many with guidance, and with a method of second order).
        guidance: weight w of the class: none + w (class - none) (Ho and Salimans 2022); 1: the class alone, as trained;
            0: no class.
    """

    sampler: str
    steps: int
    guidance: float = 1.0


@runtime_checkable
class SamplesInSteps(Protocol):
    """A distribution whose samples come out of noise step by step.

    Args:
        sampling: how `sample` draws; may be replaced by what `check_sampling` accepts.
        samplers: names of the methods that it knows.
    """

    sampling: Sampling
    samplers: tuple[str, ...]

    def check_sampling(self, sampling: Sampling) -> None:
        """Refuse what the network cannot do.

        Raises:
            UserError: names the value and what is allowed.
        """
        ...

    def trajectory(self, draws: Draws, labels: Tensor | None = None, *, num_frames: int) -> Tensor:
        """(F, B, C, H, W) float32 in [0, 1]: the images on their way, from noise to what `sample` gives, the last.

        At most `num_frames`, evenly over the steps.
        """
        ...


class FeatureNetwork(Protocol):
    """What turns images into vectors in which sets of images are compared; `FitsImages` finds its weights.

    Args:
        name: which one, for tables: scores of two are not comparable.
        num_features: D.
    """

    name: str
    num_features: int

    def __call__(self, images: Tensor) -> Tensor:
        """(B, D) float32 of images (B, C, H, W) in [0, 1]."""
        ...

    def check_data(self, info: DataInfo) -> None:
        """Refuse data that it cannot look at.

        Raises:
            UserError: names what is wrong and what is allowed.
        """
        ...


@runtime_checkable
class Recognizes(Protocol):
    """A feature network that is a classifier too."""

    def scores(self, images: Tensor) -> Tensor:
        """(B, K) float32, logits of images (B, C, H, W) in [0, 1]."""
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
