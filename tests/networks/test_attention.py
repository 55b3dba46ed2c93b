"""Attention as torch, torchvision and timm have it is the attention of the course."""

import math

import pytest
import torch
import torchvision
from timm.layers import NonLocalAttn
from timm.models.mlp_mixer import MlpMixer
from torch import nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import PatchMerging, ShiftedWindowAttention

from lightning_cv.networks.account import account
from tests.tolerances import assert_close


def tokens(number: int, width: int, *, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, number, width, generator=torch.Generator().manual_seed(number))


def test_scores_are_divided_by_the_root_of_the_width():
    """row 94: with 1,024 components products have a deviation of about 32, scaled ones of 1; weights sum to 1."""
    queries, keys = tokens(64, 1024), tokens(65, 1024)
    products = queries @ keys.transpose(1, 2)
    assert products.std() == pytest.approx(32, rel=0.1)
    assert (products / math.sqrt(1024)).std() == pytest.approx(1, rel=0.1)
    weights = (products / math.sqrt(1024)).softmax(-1)
    assert_close(weights.sum(-1), torch.ones(2, 64))
    values = tokens(65, 7)
    assert_close(F.scaled_dot_product_attention(queries, keys, values), weights @ values)


@pytest.mark.parametrize("heads", [1, 4])
def test_keys_and_values_are_linear_in_their_own_inputs(heads):
    """rows 95, 99: K = X Wk, V = X Wv with widths of their own; each head has its columns, a matrix joins them."""
    attention = nn.MultiheadAttention(8, heads, kdim=5, vdim=6, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)
    queries, keys, values = tokens(3, 8), tokens(4, 5), tokens(4, 6)
    got, _ = attention(queries, keys, values)
    shifts = attention.in_proj_bias.chunk(3)
    q = queries @ attention.q_proj_weight.T + shifts[0]
    k = keys @ attention.k_proj_weight.T + shifts[1]
    v = values @ attention.v_proj_weight.T + shifts[2]
    split = 8 // heads
    parts = []
    for head in range(heads):
        own = slice(head * split, (head + 1) * split)
        scores = q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(split)
        parts.append(scores.softmax(-1) @ v[..., own])
    assert_close(got, attention.out_proj(torch.cat(parts, dim=-1)))


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_parameters_do_not_depend_on_the_number_of_heads(heads):
    """row 99: 4 D² + 4 D."""
    attention = nn.MultiheadAttention(16, heads)
    assert sum(parameter.numel() for parameter in attention.parameters()) == 4 * 16**2 + 4 * 16


def test_self_attention_does_not_know_the_order_of_its_inputs():
    """row 96: f(P x) = P f(x)."""
    attention, inputs = nn.MultiheadAttention(16, 4, batch_first=True), tokens(9, 16)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    shuffled, _ = attention(inputs[:, order], inputs[:, order], inputs[:, order])
    assert_close(shuffled, attention(inputs, inputs, inputs)[0][:, order])


def test_a_position_lets_vit_know_the_order_of_its_patches():
    """row 97: swapped patches change the scores of a ViT, and not where its positions, which it adds, are zero."""
    network = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    nn.init.normal_(network.heads.head.weight)
    images = torch.randn(2, 3, 32, 32)
    swapped = torch.cat([images[..., 16:], images[..., :16]], dim=-1)
    with torch.no_grad():
        assert (network(images) - network(swapped)).abs().max() > 1e-3
        network.encoder.pos_embedding.zero_()
        torch.testing.assert_close(network(images), network(swapped), rtol=1e-4, atol=1e-5)


def test_a_causal_mask_lets_nothing_through_and_zeroed_scores_would():
    """row 98: an output is exactly the same whatever comes later; a score of 0 instead of -inf has weight left."""
    inputs = tokens(10, 8)
    changed = inputs.clone()
    changed[:, 6:] = torch.randn(2, 4, 8)
    before, after = (F.scaled_dot_product_attention(x, x, x, is_causal=True) for x in (inputs, changed))
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])
    zeroed = (inputs @ inputs.transpose(1, 2) / math.sqrt(8)).tril().softmax(-1)
    assert zeroed.triu(1).sum(-1).mean() > 0.1


def test_attention_goes_between_convolutions_and_starts_as_nothing():
    """row 100: 1x1 convolutions give queries, keys and values; with a zero output the network is unchanged."""
    block = NonLocalAttn(16)
    images = torch.randn(2, 16, 5, 6)
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.zeros_(norm.weight)
    assert_close(block(images), images)
    nn.init.ones_(norm.weight)
    assert block(images).shape == images.shape
    assert not torch.allclose(block(images), images)


def test_a_post_norm_block_ends_standardized_and_mixes_tokens_in_attention_only():
    """row 101: mean 0, deviation 1; behind the attention each token goes its own way."""
    block = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=False)
    inputs = tokens(6, 16)
    ends = block(inputs)
    assert_close(ends.mean(-1), torch.zeros(2, 6))
    torch.testing.assert_close(ends.std(-1, correction=0), torch.ones(2, 6), rtol=1e-3, atol=0)
    changed = inputs.clone()
    changed[:, 3] += 1
    assert (block._ff_block(changed) != block._ff_block(inputs)).any(-1).nonzero()[:, 1].unique().tolist() == [3]
    assert (block(changed) != ends).any(-1).all()


def test_cross_attention_takes_its_memory_as_a_set():
    """row 102: what the encoder gives may come in any order, the decoder's own inputs may not."""
    block = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    inputs, memory = tokens(4, 16), tokens(7, 16)
    ends = block(inputs, memory)
    torch.testing.assert_close(block(inputs, memory.flip(1)), ends, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(block(inputs.flip(1), memory), ends, atol=1e-3)


def test_vit_has_197_tokens_of_one_width_at_every_depth():
    """row 105: 14 x 14 patches and the class token, 768 components, 12 blocks."""
    with torch.device("meta"):
        counted = account(torchvision.models.vit_b_16(), torch.zeros(1, 3, 224, 224))
    mixing = [layer.output[0] for layer in counted.layers if layer.kind == "MultiheadAttention"]
    assert mixing == [(197, 768)] * 12


def test_swin_halves_its_maps_and_doubles_its_channels():
    """rows 107, 108: 56, 28, 14, 7 with C, 2C, 4C, 8C; four neighbours become one, from 4C to 2C by one matrix."""
    with torch.device("meta"):
        network = torchvision.models.swin_t().eval()
        maps, shapes = torch.zeros(1, 3, 224, 224), []
        for index, stage in enumerate(network.features):
            maps = stage(maps)
            shapes += [tuple(maps.shape[1:])] if index % 2 else []
    assert shapes == [(56, 56, 96), (28, 28, 192), (14, 14, 384), (7, 7, 768)]
    merge = PatchMerging(32)
    assert merge(torch.zeros(1, 8, 8, 32)).shape == (1, 4, 4, 64)
    assert merge.reduction.weight.shape == (64, 128)


def test_windows_cost_the_same_for_each_token_of_any_image():
    """row 109: multiply-adds a token are constant for windows, and grow with the tokens for attention over all."""
    windows, everything = [], []
    for side in (14, 28, 56):
        local = ShiftedWindowAttention(32, [7, 7], [0, 0], 2)
        windows.append(account(local, torch.zeros(1, side, side, 32)).macs / side**2)
        whole = ShiftedWindowAttention(32, [side, side], [0, 0], 2)
        everything.append(account(whole, torch.zeros(1, side, side, 32)).macs / side**2)
    assert windows[0] == windows[1] == windows[2]
    assert everything[0] < everything[1] / 3 < everything[2] / 9


def test_a_shifted_window_reaches_beyond_its_own():
    """row 110: 4x4 windows on 8x8: a token reaches 16, behind a block with shifted windows 36."""

    def reached(*shifts: int) -> int:
        inputs = torch.randn(1, 8, 8, 8, requires_grad=True)
        maps = inputs
        for shift in shifts:
            maps = ShiftedWindowAttention(8, [4, 4], [shift, shift], 2)(maps)
        maps[0, 5, 5].sum().backward()
        return int((inputs.grad.abs().sum(-1) > 0).sum())

    assert reached(0) == 16
    assert reached(0, 2) > 16


def test_swin_knows_positions_by_a_bias_alone():
    """row 111: a table of (2M - 1)² offsets for each head, and no embedding of absolute positions."""
    with torch.device("meta"):
        network = torchvision.models.swin_t()
    tables = {name: value for name, value in network.named_parameters() if "relative_position_bias_table" in name}
    assert [value.shape for value in tables.values()][:2] == [(169, 3), (169, 3)]
    assert len(tables) == 12
    assert not [name for name, _ in network.named_parameters() if "pos_embed" in name]


def test_a_mixer_mixes_without_attention_a_fixed_number_of_patches():
    """row 114: linear layers over patches and over channels only; another size of image does not fit."""
    network = MlpMixer(img_size=32, patch_size=8, num_classes=3, num_blocks=2, embed_dim=16)
    assert not [module for module in network.modules() if "attention" in type(module).__name__.lower()]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises((RuntimeError, AssertionError)):
        network(torch.zeros(2, 3, 40, 40))
