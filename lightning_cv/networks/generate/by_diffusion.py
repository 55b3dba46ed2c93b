"""What is a distribution of images whose samples a diffusion inside of it draws?"""

from __future__ import annotations

from lightning_cv.contracts import Density, Sampling
from lightning_cv.networks.generate.base import Generative
from lightning_cv.networks.generate.in_steps import InSteps


class ByDiffusion(Generative):
    """Keeps `SamplesInSteps` as its diffusion does; of p(x) it says no number.

    Args:
        image: (C, H, W) of the images.
        diffusion: draws them, or what they are made of.

    Attributes:
        num_latents: of the noise that samples start from.
        samplers: methods that can be asked for.
    """

    density = Density.IMPLICIT
    example_input = (1, 8, 8)

    def __init__(self, image: tuple[int, int, int], diffusion: InSteps) -> None:
        super().__init__(image, levels=diffusion.levels, num_classes=diffusion.num_classes)
        self.diffusion = diffusion
        self.num_latents = diffusion.num_latents
        self.samplers = diffusion.samplers

    @property
    def sampling(self) -> Sampling:
        """That of the diffusion; see `SamplesInSteps`."""
        return self.diffusion.sampling

    @sampling.setter
    def sampling(self, sampling: Sampling) -> None:
        self.diffusion.sampling = sampling

    def check_sampling(self, sampling: Sampling) -> None:
        """See `SamplesInSteps`."""
        self.diffusion.check_sampling(sampling)
