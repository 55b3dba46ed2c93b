"""What is the simplest feature of an image?"""

import math
from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError


class Pixels(nn.Module):
    """The pixels themselves, as one vector.

    Args:
        image: (C, H, W) of the images.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(self, image: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.image = tuple(image)
        self.num_features = math.prod(image)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to (B, C H W)."""
        if images.shape[1:] != self.image:
            raise UserError(f"Pixels: images are {tuple(images.shape[1:])}; allowed: image: {list(self.image)} as set")
        return images.flatten(1)
