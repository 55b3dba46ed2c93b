"""How likely is each value of a pixel, if a transformer reads those before it like words?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_cv.networks.blocks.causal_attention import CausalTransformer
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.generate.base import Autoregressive, check_at_least
from lightning_cv.ops.levels import pick

_STD = 0.02  # of embeddings at the start, as in GPT-2


class PixelTransformer(Autoregressive):
    """Self-attention over pixels: Image GPT (Chen et al. 2020, Generative pretraining from pixels; row 98).

    Each value is a token, with a vector of its level and one of its place, both learned; the sequence is shifted by
    one, and what comes first is the start, or the class. Scores start at 0: every value is as likely at first. Unlike a
    convolution each value sees all before it in every layer, at a cost that grows with the square of their number.

    Args:
        image: (C, H, W).
        levels: L, values that a pixel can take, or codes of a book.
        num_classes: see `Generative`.
        width: of a token.
        num_layers: transformer blocks.
        num_heads: of attention; divides the width.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        width: int = 64,
        num_layers: int = 3,
        num_heads: int = 4,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        check_at_least("width", width, 1)
        check_at_least("num_layers", num_layers, 1)
        self.start = nn.Parameter(torch.empty(1, 1, width))
        self.classes = ClassEmbedding(num_classes, width)
        self.codes = nn.Embedding(levels, width)
        self.positions = nn.Parameter(torch.empty(self.num_values, width))
        self.transformer = CausalTransformer(width, num_layers=num_layers, num_heads=num_heads)
        self.head = nn.Linear(width, levels)
        for embedding in (self.start, self.codes.weight, self.positions):
            nn.init.normal_(embedding, std=_STD)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B, L, C, H, W); see `Autoregressive`. There is no context."""
        words = self.codes(self.in_order(values)[:, :-1])
        tokens = torch.cat([self._first(len(values), labels), words], 1) + self.positions
        return self.in_image(self.head(self.transformer(tokens)))

    @torch.no_grad()
    def draw_values(self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """See `Autoregressive`; keys and values of tokens are kept, so that a value costs the pass of one token."""
        numbers = self.in_order(uniform)
        memory = self.transformer.empty_memory(*numbers.shape)
        values = []
        word = self._first(len(uniform), labels)
        for place in range(self.num_values):
            known = self.transformer.next(word + self.positions[place], memory, place)
            values.append(pick(self.head(known), numbers[:, place]))
            word = self.codes(values[-1])[:, None]
        return self.in_image(torch.stack(values, 1))

    def _first(self, batch: int, labels: Tensor | None) -> Tensor:
        """The token (B, 1, width) before all values."""
        told = self.classes(labels)
        first = self.start.expand(batch, -1, -1)
        return first if isinstance(told, float) else first + told[:, None]
