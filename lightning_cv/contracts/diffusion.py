"""What do networks, tasks and tools know of one that draws in steps, and of what steers it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from lightning_cv.contracts.generation import Draws


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


@runtime_checkable
class FollowsControl(Protocol):
    """A distribution of images given a picture of what they should look like, such as their edges."""

    def control_of(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) float32 in [0, 1], the control of images (B, C, H, W) in [0, 1]."""
        ...

    def sample_controlled(self, draws: Draws, control: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1], new images that follow a control (B, 1, H, W)."""
        ...
