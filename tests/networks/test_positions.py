"""Positional encodings tell places apart, added or beside, learned or fixed."""

import math

import pytest
import torch

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.positions import PositionalEncoding
from tests.tolerances import assert_close


def test_fixed_ones_are_the_formula_and_have_no_parameters():
    """row 97: sin and cos of p / 10000^(2i/D), written out; nothing to train, nothing in a checkpoint."""
    encoding = PositionalEncoding(7, 6, kind="fixed")
    assert not list(encoding.parameters())
    assert not encoding.state_dict()
    found = encoding(torch.zeros(1, 7, 6))[0]
    for place in range(7):
        for index in range(3):
            angle = place / 10_000 ** (2 * index / 6)
            wanted = torch.tensor([math.sin(angle), math.cos(angle)])
            assert_close(found[place, 2 * index : 2 * index + 2], wanted)


@pytest.mark.parametrize("kind", ["learned", "fixed"])
def test_they_are_added_or_stand_beside(kind):
    """row 97: added, the width stays; beside, the token comes through untouched and the place follows."""
    tokens = torch.randn(2, 5, 8)
    added, beside = PositionalEncoding(5, 8, kind=kind), PositionalEncoding(5, 8, kind=kind, mode="concatenate")
    assert_close(added(tokens) - tokens, added.vectors.detach().expand(2, 5, 8))
    joined = beside(tokens)
    assert joined.shape == (2, 5, 16)
    assert torch.equal(joined[..., :8], tokens)
    assert torch.equal(joined[..., 8:], beside.vectors.detach().expand(2, 5, 8))
    narrow = PositionalEncoding(5, 8, kind=kind, mode="concatenate", position_width=2)
    assert narrow(tokens).shape == (2, 5, 10)


@pytest.mark.parametrize("mode", ["add", "concatenate"])
def test_attention_knows_the_order_with_them_only(mode):
    """row 97: the mean over self-attended tokens changes with their order behind an encoding, and not without."""
    tokens, order = torch.randn(1, 6, 8), torch.tensor([3, 1, 5, 0, 2, 4])
    encoding = PositionalEncoding(6, 8, kind="fixed", mode=mode)

    def pooled(inputs):
        torch.manual_seed(0)
        attention = torch.nn.MultiheadAttention(inputs.shape[2], 2, batch_first=True)
        return attention(inputs, inputs, inputs)[0].mean(1)

    assert_close(pooled(tokens[:, order]), pooled(tokens))
    assert (pooled(encoding(tokens[:, order])) - pooled(encoding(tokens))).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sine"}, "kind is sine; allowed: learned, fixed"),
        ({"mode": "multiply"}, "mode is multiply; allowed: add, concatenate"),
        ({"position_width": 3}, "position_width is 3; allowed with add: 8"),
        ({"kind": "fixed", "mode": "concatenate", "position_width": 3}, "fixed vectors are 3 wide; allowed: even"),
    ],
)
def test_wrong_settings_are_told(options, message):
    """They name the option and what is allowed."""
    with pytest.raises(UserError, match=message):
        PositionalEncoding(5, 8, **options)
    with pytest.raises(UserError, match="4 tokens; allowed: num_tokens, 5"):
        PositionalEncoding(5, 8)(torch.zeros(1, 4, 8))
