"""The transformer over pixels: its attention against torch's own, its memory, and a source whose entropy is known."""

import math

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.causal_attention import CausalAttention, CausalBlock
from lightning_cv.networks.generate import PixelTransformer
from lightning_cv.ops.draws import OwnDraws
from tests.networks.generate.sources import bars
from tests.networks.generate.test_contract import build
from tests.tolerances import assert_close


def test_attention_is_that_of_torch_with_a_causal_mask():
    """row 98: nn.MultiheadAttention with the same weights."""
    torch.manual_seed(0)
    own, theirs = CausalAttention(12, num_heads=3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(own.query_key_value.weight)
        theirs.in_proj_bias.copy_(own.query_key_value.bias.normal_())
        theirs.out_proj.load_state_dict(own.output.state_dict())
        tokens = torch.randn(2, 7, 12)
        mask = nn.Transformer.generate_square_subsequent_mask(7)
        expected, _ = theirs(tokens, tokens, tokens, attn_mask=mask, need_weights=False)
        assert_close(own(tokens), expected)


def test_a_block_is_that_of_torch_with_norms_first():
    """row 98: nn.TransformerEncoderLayer(norm_first) with GELU and the same weights."""
    torch.manual_seed(0)
    own = CausalBlock(8, num_heads=2)
    theirs = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(own.attention.query_key_value.weight)
        theirs.self_attn.in_proj_bias.copy_(own.attention.query_key_value.bias)
        theirs.self_attn.out_proj.load_state_dict(own.attention.output.state_dict())
        theirs.norm1.load_state_dict({"weight": own.norm1.weight.normal_(), "bias": own.norm1.bias.normal_()})
        theirs.norm2.load_state_dict({"weight": own.norm2.weight.normal_(), "bias": own.norm2.bias.normal_()})
        theirs.linear1.load_state_dict(own.mlp[0].state_dict())
        theirs.linear2.load_state_dict(own.mlp[2].state_dict())
        tokens = torch.randn(2, 5, 8)
        mask = nn.Transformer.generate_square_subsequent_mask(5)
        assert_close(own(tokens), theirs(tokens, src_mask=mask))


def test_token_by_token_gives_what_the_whole_sequence_gives():
    """row 98: with keys and values kept, and whatever was in the memory of places to come."""
    torch.manual_seed(0)
    block = CausalBlock(12, num_heads=3)
    tokens = torch.randn(2, 6, 12)
    memory = block.attention.empty_memory(2, 6).fill_(float("nan"))
    with torch.no_grad():
        each = [block.next(tokens[:, place, None], memory, place) for place in range(6)]
        assert_close(torch.cat(each, 1), block(tokens))
    assert memory.isfinite().all()


def test_drawn_with_memory_is_drawn_by_full_passes():
    """row 98: a 6x6 image in 3 colors, of a class."""
    network = build(PixelTransformer, image=(3, 6, 6), levels=256, num_classes=2).eval()
    uniform = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([1, 0])
    assert torch.equal(network.draw_values(uniform, labels), network.draw_by_full_passes(uniform, labels))


def test_it_learns_bars_and_says_no_more_of_them_than_there_is():
    """rows 98, 232: of 8 equally likely images -log p falls to 2.3 nats, and never below the entropy ln 8."""
    torch.manual_seed(0)
    network = PixelTransformer((1, 4, 4), levels=2, width=32, num_layers=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(200):
        loss = -network.log_prob(bars()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(16 * math.log(2), abs=1e-3)
    assert losses[-1] <= 2.3
    assert min(losses) >= math.log(8) - 1e-3
    drawn = network.sample(OwnDraws.of_indices(torch.arange(100)))
    known = (drawn[:, None] == bars()[None]).flatten(2).all(2)
    assert known.any(1).float().mean() > 0.8
    assert known.any(0).all()


def test_places_are_learned_and_not_only_their_order():
    """row 98: the same values score differently when two places change their vectors."""
    network = build(PixelTransformer).eval()
    values = torch.zeros(1, 1, 8, 8, dtype=torch.int64)
    with torch.no_grad():
        before = network.scores(values)
        network.positions[[3, 9]] = network.positions[[9, 3]]
        after = network.scores(values)
    changed = (before != after)[0].any(0).flatten()
    assert not changed[:3].any()
    assert changed[3:].all()


def test_a_mistake_is_one_line():
    for key, options in {"num_heads": {"num_heads": 5}, "num_layers": {"num_layers": 0}, "width": {"width": 0}}.items():
        with pytest.raises(UserError, match=key):
            PixelTransformer(**options)
