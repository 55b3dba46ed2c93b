"""The diffusion transformer: its published sizes, its start, and diffusers' transformer with the same weights."""

import pytest
import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Dit
from tests.tolerances import assert_close

TIMES = torch.tensor([0.0, 500.0, 999.0])


def noisy(image: tuple[int, int, int] = (3, 8, 12), count: int = 3) -> Tensor:
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(0))


def awake(dit: Dit) -> Dit:
    """With weights everywhere, so that nothing hides behind a gate that is 0."""
    generator = torch.Generator().manual_seed(1)
    for parameter in dit.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return dit.eval()


@pytest.mark.parametrize(
    ("size", "parameters"), [("S", 32_963_360), ("B", 130_512_416), ("L", 458_102_816), ("XL", 675_129_632)]
)
def test_a_named_size_has_the_published_parameters(size, parameters):
    """row 262: at 32 x 32 x 4 latents, 1,000 classes and learned sigma, the fixed positions counted."""
    with torch.device("meta"):
        built = Dit((4, 32, 32), num_classes=1000, size=size, learn_sigma=True)
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters


@pytest.mark.parametrize("learn_sigma", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_output_starts_at_exactly_zero(learn_sigma, seed):
    """row 262: adaLN-zero; whatever the image, the time and the class."""
    torch.manual_seed(seed)
    dit = Dit((3, 8, 12), num_classes=5, learn_sigma=learn_sigma)
    assert not dit(noisy(), TIMES, torch.tensor([0, 3, 5])).any()


def diffusers_twin(dit: Dit, depth: int, width: int, num_heads: int) -> nn.Module:
    """diffusers' transformer with the weights of ours: our one embedding of time and class in each of its copies."""
    from diffusers import DiTTransformer2DModel

    twin = DiTTransformer2DModel(
        num_attention_heads=num_heads,
        attention_head_dim=width // num_heads,
        in_channels=3,
        out_channels=dit.out_channels,
        num_layers=depth,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=5,
        norm_eps=1e-6,
    ).eval()
    twin.pos_embed.proj.load_state_dict(dit.patches.state_dict())
    for ours, theirs in zip(dit.blocks, twin.transformer_blocks, strict=True):
        theirs.norm1.emb.timestep_embedder.linear_1.load_state_dict(dit.time[0].state_dict())
        theirs.norm1.emb.timestep_embedder.linear_2.load_state_dict(dit.time[2].state_dict())
        theirs.norm1.emb.class_embedder.embedding_table.load_state_dict(dit.classes.table.state_dict())
        theirs.norm1.emb.time_proj.downscale_freq_shift = 0  # the published code divides by half, they by half - 1
        theirs.norm1.linear.load_state_dict(ours.modulation.state_dict())
        parts = zip(ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True)
        for layer, (weight, bias) in zip((theirs.attn1.to_q, theirs.attn1.to_k, theirs.attn1.to_v), parts, strict=True):
            layer.load_state_dict({"weight": weight, "bias": bias})
        theirs.attn1.to_out[0].load_state_dict(ours.mix.state_dict())
        theirs.ff.net[0].proj.load_state_dict(ours.mlp[0].state_dict())
        theirs.ff.net[2].load_state_dict(ours.mlp[2].state_dict())
    twin.proj_out_1.load_state_dict(dit.modulation.state_dict())
    twin.proj_out_2.load_state_dict(dit.head.state_dict())
    return twin


@pytest.mark.slow
def test_it_says_what_diffusers_transformer_says_with_the_same_weights():
    """row 262: oracle, diffusers' DiTTransformer2DModel, whose blocks have an embedding each, here one and the same."""
    dit = awake(Dit((3, 8, 8), num_classes=5, size=(32, 2, 4), learn_sigma=True))
    twin = diffusers_twin(dit, 2, 32, 4)
    labels = torch.tensor([0, 4, 5])
    with torch.no_grad():
        theirs = twin(noisy((3, 8, 8)), timestep=TIMES.long(), class_labels=labels).sample
        noise, variance = dit.noise_and_variance(noisy((3, 8, 8)), TIMES, labels)
    assert theirs.std() > 0.1
    assert_close(torch.cat([noise, variance], 1), theirs)
    assert_close(dit(noisy((3, 8, 8)), TIMES, labels), theirs[:, :3])


def test_places_are_told_apart_and_a_patch_lands_where_it_was():
    """row 262: oracle, the sines of each place by their formula; and one patch alone changes, where nothing mixes."""
    dit = awake(Dit((1, 4, 6), size=(8, 1, 1)))
    places = dit.positions[0].view(2, 3, 2, 2, 2)  # row, column; of column or row; sine or cosine; rate
    for row in range(2):
        for column in range(3):
            for axis, place in enumerate((column, row)):
                angles = place * torch.tensor([1.0, 0.01])
                assert_close(places[row, column, axis], torch.stack([angles.sin(), angles.cos()]))
    for block in dit.blocks:
        nn.init.zeros_(block.mix.weight)
    one = torch.zeros(1, 1, 4, 6)
    one[..., 2:4, 4:6] = 1
    with torch.no_grad():
        changed = (dit(one, TIMES[:1], None) - dit(torch.zeros(1, 1, 4, 6), TIMES[:1], None)) != 0
    assert torch.equal(changed, one.bool())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_px": 3}, "patch_px is 3 of images 8 x 8"),
        ({"size": "M"}, "size is M; allowed: S, B, L, XL"),
        ({"size": (30, 1, 3)}, r"size is \[30, 1, 3\]"),
        ({"size": (32, 1, 5)}, r"size is \[32, 1, 5\]"),
        ({"num_classes": 0}, "num_classes is 0"),
    ],
)
def test_a_mistake_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        Dit(**options)
    with pytest.raises(UserError, match="learn_sigma is false"):
        Dit().noise_and_variance(noisy((1, 8, 8)), TIMES, None)
