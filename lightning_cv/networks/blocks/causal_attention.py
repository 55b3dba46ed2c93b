"""What does each token of a sequence learn of those before it?"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError


class CausalAttention(nn.Module):
    """Self-attention of several heads in which a token asks itself and those before it (Vaswani et al. 2017, 3.2.3).

    `nn.MultiheadAttention` computes the same, but has no memory of earlier tokens.

    Args:
        width: W of a token.
        num_heads: divides the width.

    Raises:
        UserError: heads that do not divide the width.
    """

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise UserError(f"network: num_heads is {num_heads}; allowed: divisors of {width}, the width")
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, W) to (B, T, W)."""
        query, key, value = self._heads(tokens)
        return self._join(F.scaled_dot_product_attention(query, key, value, is_causal=True))

    def next(self, token: Tensor, memory: Tensor, place: int) -> Tensor:
        """The same for one token, of which keys and values are kept.

        Args:
            token: (B, 1, W).
            memory: (2, B, heads, T, W / heads), keys and values of the tokens before; those of this one are written.
            place: of the token, 0 to T - 1.

        Returns:
            (B, 1, W).
        """
        query, key, value = self._heads(token)
        memory[0, :, :, place], memory[1, :, :, place] = key[:, :, 0], value[:, :, 0]
        keys, values = memory[:, :, :, : place + 1]
        return self._join(F.scaled_dot_product_attention(query, keys, values))

    def empty_memory(self, batch: int, length: int) -> Tensor:
        """(2, B, heads, T, W / heads) for `next`."""
        width = self.output.in_features // self.num_heads
        return self.output.weight.new_zeros(2, batch, self.num_heads, length, width)

    def _heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, heads, T, W / heads) each."""
        query, key, value = self.query_key_value(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def _join(self, heads: Tensor) -> Tensor:
        mixed: Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return mixed


class CausalBlock(nn.Module):
    """A transformer block with norms before its parts: x + attention(norm(x)), then x + mlp(norm(x)).

    Radford et al. 2019, Language models are unsupervised multitask learners, section 2.3; the MLP is 4 times as wide.

    Args:
        width: W of a token.
        num_heads: divides the width.
    """

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalAttention(width, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, W) to (B, T, W)."""
        return self._think(tokens + self.attention(self.norm1(tokens)))

    def next(self, token: Tensor, memory: Tensor, place: int) -> Tensor:
        """The same for one token (B, 1, W); see `CausalAttention.next`."""
        return self._think(token + self.attention.next(self.norm1(token), memory, place))

    def _think(self, tokens: Tensor) -> Tensor:
        thought: Tensor = tokens + self.mlp(self.norm2(tokens))
        return thought


class CausalTransformer(nn.Module):
    """Blocks, and a norm at the end: of each token what is known of it and those before it.

    Args:
        width: W of a token.
        num_layers: blocks, 1 or more.
        num_heads: divides the width.
    """

    def __init__(self, width: int, *, num_layers: int, num_heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CausalBlock(width, num_heads=num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, W) to (B, T, W)."""
        for block in self.blocks:
            tokens = block(tokens)
        known: Tensor = self.norm(tokens)
        return known

    def empty_memory(self, batch: int, length: int) -> list[Tensor]:
        """For `next`, of sequences of so many tokens."""
        return [cast(CausalBlock, block).attention.empty_memory(batch, length) for block in self.blocks]

    def next(self, token: Tensor, memory: list[Tensor], place: int) -> Tensor:
        """The same (B, W) for one token (B, 1, W), of which keys and values are kept; see `CausalAttention.next`."""
        for block, kept in zip(self.blocks, memory, strict=True):
            token = cast(CausalBlock, block).next(token, kept, place)
        known: Tensor = self.norm(token[:, 0])
        return known
