"""The transformers of the course, and what they are compared with, have the structure that it describes."""

import math

import pytest
import timm
import torch
import torchvision
from torch import nn

SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 5}


def test_a_transformer_on_pixels_has_an_attention_entry_for_each_pair_of_them():
    """row 104: R² x R² entries a matrix for patches of one pixel, sixteen times as many where R doubles."""
    entries = []
    for side in (4, 8):
        network = timm.create_model("vit_tiny_patch16_224", **{**SMALL, "img_size": side, "patch_size": 1, "depth": 1})
        block = network.blocks[0].attn
        block.fused_attn = False
        seen = []
        block.attn_drop.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output.shape))
        network(torch.randn(1, 3, side, side))
        assert seen == [(1, 3, side**2 + 1, side**2 + 1)]  # and the class token
        entries.append((seen[0][2] - 1) * (seen[0][3] - 1))
    assert entries[1] == 16 * entries[0]


@pytest.mark.parametrize(
    "regularizer", [{"drop_rate": 0.5}, {"drop_path_rate": 0.5}, {"attn_drop_rate": 0.5}, {"proj_drop_rate": 0.5}]
)
def test_a_regularizer_of_vit_is_off_in_evaluation(regularizer):
    """row 106: with the same weights the evaluated scores are the same to the last bit; in training they are not."""
    plain, regular = (timm.create_model("vit_tiny_patch16_224", **SMALL, **more) for more in ({}, regularizer))
    regular.load_state_dict(plain.state_dict())
    # Where the head starts at zero all scores are equal, whatever is dropped.
    nn.init.normal_(plain.head.weight)
    regular.head.weight.data = plain.head.weight.data
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(plain.eval()(images), regular.eval()(images))
    assert not torch.equal(plain.train()(images), regular.train()(images))


@pytest.mark.parametrize(
    ("make", "parameters"),
    [(torchvision.models.swin_v2_t, 28_351_570), (lambda: timm.create_model("mvitv2_tiny"), 24_173_320)],
    ids=["swin v2", "mvit v2"],
)
def test_hierarchical_transformers_halve_their_maps_and_widen(make, parameters):
    """rows 112, 113: the published number of parameters; four stages, each at half the size of the one before."""
    with torch.device("meta"):
        network = make().eval()
        stages = network.stages if hasattr(network, "stages") else network.features[1::2]
        seen = []
        for stage in stages:
            stage.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        network(torch.zeros(1, 3, 224, 224))
    assert sum(p.numel() for p in network.parameters()) == parameters
    tokens = [output[0].shape[1] if isinstance(output, tuple) else output.shape[1] * output.shape[2] for output in seen]
    assert tokens == [56**2, 28**2, 14**2, 7**2]
    widths = [(output[0] if isinstance(output, tuple) else output).shape[-1] for output in seen]
    assert widths == [widths[0] * 2**number for number in range(4)]


def layers_until_reached(make, number: int) -> int:
    """How many layers it takes until the last of `number` tokens depends on the first."""
    layers = 0
    features = torch.randn(1, number, 8, requires_grad=True)
    found = features
    while True:
        layers += 1
        found = make()(found)
        (slope,) = torch.autograd.grad(found[0, -1].sum(), features, retain_graph=True)
        if slope[0, 0].ne(0).any():
            return layers


class Convolution(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(8, 8, size, padding=size // 2)

    def forward(self, tokens):
        return self.layer(tokens.transpose(1, 2)).transpose(1, 2)


class Recurrence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.RNN(8, 8, batch_first=True)

    def forward(self, tokens):
        return self.layer(tokens)[0]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens):
        return self.layer(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("number", [6, 12])
def test_how_many_layers_a_word_needs_to_cross_a_sequence(number):
    """row 115: a recurrence and attention one; a convolution of size K ceil((N - 1) / ((K - 1) / 2))."""
    assert layers_until_reached(Recurrence, number) == 1
    assert layers_until_reached(Attention, number) == 1
    for size in (3, 5):
        wanted = math.ceil((number - 1) / ((size - 1) / 2))
        assert layers_until_reached(lambda size=size: Convolution(size), number) == wanted


def test_attention_weights_grow_with_the_square_of_the_length():
    """row 115: four times the entries for twice the tokens."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    entries = []
    for number in (16, 32):
        tokens = torch.randn(1, number, 8)
        entries.append(layer(tokens, tokens, tokens, average_attn_weights=False)[1].numel())
    assert entries == [2 * 16**2, 2 * 32**2]
