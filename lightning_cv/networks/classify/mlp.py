"""What is a multilayer perceptron on images?"""

import copy
import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError


class Mlp(nn.Module):
    """Fully connected layers on the flattened image, an activation and dropout between them (row 16).

    Its layers have the names of torchvision's MLP, whose own last layer is followed by a dropout that would zero class
    scores; so the head is a layer of its own.

    Args:
        num_classes: number of class scores.
        image: (C, H, W) of the images.
        hidden: width of each hidden layer; none makes it the linear classifier.
        dropout: probability of dropping a hidden unit in training, 0 to below 1.
        activation: behind each hidden layer; `lightning_cv.networks.blocks.maxout.Maxout` makes the layers before it
            wider (row 59). None: ReLU.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        image: tuple[int, int, int] = (1, 8, 8),
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        activation: nn.Module | None = None,
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
            self.hidden.extend(_hidden(math.prod(image), widths, dropout, activation or nn.ReLU()))
        self.head = nn.Linear(widths[-1] if widths else math.prod(image), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to class scores (B, num_classes)."""
        if images.shape[1:] != self.image:
            raise UserError(f"Mlp: images are {tuple(images.shape[1:])}; allowed: image: {list(self.image)} as set")
        return self.head(self.hidden(images))


def _hidden(features: int, widths: list[int], dropout: float, activation: nn.Module) -> list[nn.Module]:
    """Linear, activation, dropout for each width; in two parts, as they were named before there were activations."""
    pieces = getattr(activation, "pieces", 1)  # of Maxout: how many linear functions it chooses from
    layers = nn.Sequential()
    for number, width in enumerate(widths):
        last = number == len(widths) - 1
        layers.append(nn.Linear(features, width * pieces))
        if not last:
            layers.append(copy.deepcopy(activation))
            layers.append(nn.Dropout(dropout))
        features = width
    return [layers, copy.deepcopy(activation), nn.Dropout(dropout)]
