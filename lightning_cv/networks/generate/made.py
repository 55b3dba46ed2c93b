"""The masked autoencoder for distribution estimation: one pass of an MLP gives all conditionals."""

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.blocks.masked import MaskedLinear
from lightning_cv.networks.generate.base import Autoregressive
from lightning_cv.ops.levels import from_levels


class Made(Autoregressive):
    """MADE (Germain et al. 2015): weights of an MLP are masked so that output i sees inputs before i (row 233).

    Hidden unit k of each layer has a degree m(k), spread evenly over 1 ... D - 1, and sees what has a degree not above
    its own; output i sees hidden units with a degree below i (equations 8 and 9). Values enter as numbers in [-1, 1].

    Args:
        image: (C, H, W).
        levels: values that a pixel can take.
        num_classes: see `Generative`.
        widths: units of each hidden layer.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        widths: tuple[int, ...] = (512, 512),
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        if not widths or min(widths) < 1:
            raise UserError(f"network: widths is {list(widths)}; allowed: one or more, each 1 or more")
        places = torch.arange(self.num_values)
        below = places + 1  # degree of each input
        layers = []
        for width in widths:
            degrees = 1 + torch.arange(width) * max(self.num_values - 1, 1) // width
            layers.append(MaskedLinear(degrees[:, None] >= below[None]))
            below = degrees
        self.layers = nn.ModuleList(layers)
        self.classes = nn.ModuleList(ClassEmbedding(num_classes, width) for width in widths)
        self.head = MaskedLinear((places[:, None] >= below[None]).repeat_interleave(levels, 0))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`."""
        hidden = 2 * self.in_order(from_levels(values, self.levels)) - 1
        for layer, classes in zip(self.layers, self.classes, strict=True):
            hidden = (layer(hidden) + classes(labels)).relu()
        return self.in_image(self.head(hidden).unflatten(1, (self.num_values, self.levels)))
