"""The neural autoregressive distribution estimator: one hidden layer, whose sum grows by a value at a time."""

import torch
from torch import Tensor, nn

from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.generate.base import Autoregressive, check_at_least
from lightning_cv.ops.levels import from_levels, pick


class Nade(Autoregressive):
    """NADE (Larochelle & Murray 2011; Uria et al. 2016, equations 2 to 5): all conditionals share weights (row 233).

    h_d = sigmoid(c + sum over e < d of W_e x_e), p(x_d | x_<d) = softmax(V_d h_d + b_d): the sum for one value is the
    sum for the one before it plus a vector, so that all of them cost as much as one layer of an MLP does. Binary images
    have a softmax over two levels where the paper has a sigmoid; more levels enter as k / (levels - 1). V and b start
    at zero, and so at log2(levels) bits per dimension.

    Args:
        image: (C, H, W).
        levels: values that a pixel can take.
        num_classes: see `Generative`; the class adds to c.
        width: hidden units.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        width: int = 512,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        check_at_least("width", width, 1)
        # No value comes after the last one: it has no weights.
        self.weight = nn.Parameter(torch.empty(self.num_values - 1, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.classes = ClassEmbedding(num_classes, width)
        self.head_weight = nn.Parameter(torch.zeros(self.num_values, levels, width))
        self.head_bias = nn.Parameter(torch.zeros(self.num_values, levels))
        nn.init.normal_(self.weight, std=self.num_values**-0.5)

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`."""
        known = self.in_order(from_levels(values, self.levels))[:, :-1]
        added = known[..., None] * self.weight
        sums = torch.cat([self._first_sum(len(values), labels)[:, None], added], 1).cumsum(1)
        return self.in_image(torch.einsum("bdh,dlh->bdl", sums.sigmoid(), self.head_weight) + self.head_bias)

    @torch.no_grad()
    def draw_values(self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """See `Autoregressive`; by the growing sum, in O(D) vectors of hidden units an image instead of O(D^2)."""
        places = self.in_order(uniform)
        sums, drawn = self._first_sum(len(uniform), labels), []
        for place in range(self.num_values):
            scores = sums.sigmoid() @ self.head_weight[place].t() + self.head_bias[place]
            drawn.append(pick(scores, places[:, place]))
            if place < self.num_values - 1:
                sums = sums + from_levels(drawn[-1], self.levels)[:, None] * self.weight[place]
        return self.in_image(torch.stack(drawn, 1))

    def _first_sum(self, batch: int, labels: Tensor | None) -> Tensor:
        """(B, width), before any value is known."""
        return (self.bias + self.classes(labels)).expand(batch, -1)
