"""What is a generator that only says what an image looks like, and leaves to a discriminator how good it is?"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_cv.contracts import Density, Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import Generative, check_at_least


class LatentGenerator(Generative):
    """The generator of an adversarial game (Goodfellow et al. 2014): images of latent vectors from N(0, 1).

    An author writes `decode`. There is no density, and so no loss of its own: the task `Adversarial` trains it.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z, 1 or more.
        num_classes: see `Generative`.
    """

    density = Density.IMPLICIT

    def __init__(self, image: tuple[int, int, int], *, num_latents: int, num_classes: int | None) -> None:
        super().__init__(image, levels=None, num_classes=num_classes)
        check_at_least("num_latents", num_latents, 1)
        self.num_latents = num_latents

    @abstractmethod
    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of latent vectors (B, Z)."""

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Nothing.

        Raises:
            UserError: always; says which task trains it.
        """
        name = type(self).__name__
        raise UserError(f"model.init_args.network: {name} has no loss; train it with lightning_cv.tasks.Adversarial")

    def make(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1], for training too: a gradient goes through, and what else is drawn is."""
        return self.decode(draws.normal(self.num_latents), labels)

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]."""
        return self.make(draws, labels)


def halvings(name: str, image: tuple[int, int, int], wanted: int | None) -> int:
    """How often height and width are halved, or doubled on the way back.

    Args:
        name: of the key, for the message.
        image: (C, H, W).
        wanted: 1 or more; None: until the shorter side has 4 pixels or fewer, or a side is odd.

    Raises:
        UserError: the sides cannot be halved so often.
    """
    _, height, width = image
    possible = 0
    while height % 2**possible == 0 and width % 2**possible == 0:
        possible += 1
    possible -= 1
    usual = next((n for n in range(possible) if min(height, width) // 2**n <= 4), possible)
    number = usual if wanted is None else wanted
    if not 1 <= number <= possible:
        allowed = f"1 to {possible}" if possible else "no image with an odd side"
        raise UserError(f"network: {name} of image {list(image)} is {number}; allowed: {allowed}")
    return number
