"""What do a generator and a discriminator want of the scores that the discriminator gives?

Scores are logits (B, ...) of any shape, one or more an image, high for what looks real; each loss is a mean over all of
them. V(D, G) = E log D(real) + E log(1 - D(fake)) is what Goodfellow et al. 2014 let the two play for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(ABC):
    """What the two players minimize.

    Attributes:
        is_zero_where_won: whether the discriminator's loss is 0 where it is sure and right of every image, and else
            above.
    """

    is_zero_where_won: bool = True

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar float32 of the scores of real images and of generated ones, whose numbers may differ."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Scalar float32 of the scores of generated images."""


class Minimax(AdversarialLoss):
    """The game as it stands: the discriminator minimizes -V, the generator V (Goodfellow et al. 2014, eq. 1; row 247).

    Where the discriminator is sure, the generator gets no gradient.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E log D(real) - E log(1 - D(fake)), ln 4 where it knows nothing."""
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """E log(1 - D(fake))."""
        return -F.softplus(fake.float()).mean()


class NonSaturating(Minimax):
    """The generator minimizes -E log D(fake) instead (the same paper, section 3; row 248).

    The fixed point is the same, and the gradient is largest where the discriminator is sure.
    """

    def generator(self, fake: Tensor) -> Tensor:
        """-E log D(fake)."""
        return F.softplus(-fake.float()).mean()


class AdversarialHinge(AdversarialLoss):
    """Scores beyond a margin of 1 are good enough (Lim and Ye 2017, Geometric GAN, eq. 3; Miyato et al. 2018)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - real) + E max(0, 1 + fake)."""
        return (1 - real.float()).relu().mean() + (1 + fake.float()).relu().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """-E fake."""
        return -fake.float().mean()


class LeastSquares(AdversarialLoss):
    """Scores are to be 1 for real images and 0 for generated ones (Mao et al. 2017, LSGAN, eq. 9; as CycleGAN)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E (real - 1)^2 + E fake^2."""
        return (real.float() - 1).square().mean() + fake.float().square().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """E (fake - 1)^2."""
        return (fake.float() - 1).square().mean()


class Wasserstein(AdversarialLoss):
    """The distance of Arjovsky et al. 2017, if the discriminator's slope is at most 1: see `gradient_penalty`."""

    is_zero_where_won = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E fake - E real."""
        return fake.float().mean() - real.float().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """-E fake."""
        return -fake.float().mean()


Discriminator = Callable[[Tensor], Tensor]


def gradient_penalty(discriminator: Discriminator, real: Tensor, fake: Tensor, uniform: Tensor) -> Tensor:
    """E (|slope| - 1)^2 between real and generated images: WGAN-GP (Gulrajani et al. 2017, eq. 3).

    Args:
        discriminator: images to scores (B, ...).
        real: (B, C, H, W).
        fake: (B, C, H, W).
        uniform: (B,) in (0, 1), where between the two.

    Returns:
        Scalar float32, differentiable in the discriminator's weights; the paper weighs it by 10.
    """
    share = uniform.view(-1, *[1] * (real.ndim - 1)).to(real.dtype)
    between = (share * real + (1 - share) * fake).detach()
    return (_slope_square(discriminator, between).sqrt() - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """E |slope|^2 / 2 at real images (Mescheder et al. 2018, eq. 9, without its gamma).

    Args:
        discriminator: images to scores (B, ...).
        real: (B, C, H, W).

    Returns:
        Scalar float32, differentiable in the discriminator's weights.
    """
    return _slope_square(discriminator, real.detach()).mean() / 2


def _slope_square(discriminator: Discriminator, images: Tensor) -> Tensor:
    """(B,) float32: squared length of the gradient of an image's summed scores by its pixels."""
    images = images.requires_grad_()
    with torch.enable_grad():
        scores = discriminator(images).float()
        (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.float().square().flatten(1).sum(1)
