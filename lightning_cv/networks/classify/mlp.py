"""What is a multilayer perceptron on images?"""

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torchvision.ops import MLP

from lightning_cv.errors import UserError


class Mlp(nn.Module):
    """Fully connected layers on the flattened image, ReLU and dropout between them (row 16).

    The hidden layers are torchvision's MLP. Its own last layer is followed by a dropout that would zero class
    scores, so the head is a layer of its own.

    Args:
        num_classes: number of class scores.
        image: (C, H, W) of the images.
        hidden: width of each hidden layer; none makes it the linear classifier.
        dropout: probability of dropping a hidden unit in training, 0 to below 1.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        image: tuple[int, int, int] = (1, 8, 8),
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UserError(f"Mlp: dropout is {dropout}; allowed: 0 to below 1")
        widths = list(hidden)
        if any(width < 1 for width in widths):
            raise UserError(f"Mlp: hidden is {widths}; allowed: widths of 1 or more")
        self.image = tuple(image)
        self.hidden = nn.Sequential(nn.Flatten())
        if widths:
            # Dropout and ReLU commute: the MLP's last dropout stands before the ReLU that it lacks.
            self.hidden.extend([MLP(math.prod(image), widths, dropout=dropout), nn.ReLU()])
        self.head = nn.Linear(widths[-1] if widths else math.prod(image), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to class scores (B, num_classes)."""
        if images.shape[1:] != self.image:
            raise UserError(f"Mlp: images are {tuple(images.shape[1:])}; allowed: image: {list(self.image)} as set")
        return self.head(self.hidden(images))
