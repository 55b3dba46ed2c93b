"""Text to codes: one sequence of words and codes, which draws what a caption says."""

import math

import pytest
import torch
from torch import nn

from lightning_cv.contracts import Stage
from lightning_cv.data import Shapes
from lightning_cv.data.shape_drawing import COLORS
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import CaptionedCodes, Normal, VqVae
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.tolerances import assert_close

CAPTIONS = ["red square", "blue disc", "red"]
SIZES = {"image": (1, 2, 2), "levels": 3, "num_classes": 3, "width": 16, "num_layers": 2}


def made(**options) -> CaptionedCodes:
    torch.manual_seed(0)
    built = CaptionedCodes(**{**SIZES, "captions": CAPTIONS, **options})
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built.eval()


def draws(count: int, seed: int = 3) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def test_a_caption_is_words_and_blanks():
    """row 246: by hand, of the sorted vocabulary."""
    built = made()
    assert built.words == ("", "blue", "disc", "red", "square")
    assert built.texts.tolist() == [[3, 4], [1, 2], [3, 0]]
    assert CaptionedCodes(num_classes=12).texts.shape == (12, 1)
    assert CaptionedCodes().num_words == 0


@torch.no_grad()
def test_words_and_codes_are_one_sequence():
    """row 246: PyTorch's own transformer encoder under a causal mask, with the same weights, gives the same scores."""
    built, labels = made(), torch.tensor([0, 1, 2, 1])
    layer = nn.TransformerEncoderLayer(
        16, 4, 64, dropout=0, activation=nn.functional.gelu, batch_first=True, norm_first=True
    )
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    for own, other in zip(built.transformer.blocks, encoder.layers, strict=True):
        other.self_attn.in_proj_weight.copy_(own.attention.query_key_value.weight)
        other.self_attn.in_proj_bias.copy_(own.attention.query_key_value.bias)
        other.self_attn.out_proj.load_state_dict(own.attention.output.state_dict())
        other.norm1.load_state_dict(own.norm1.state_dict())
        other.norm2.load_state_dict(own.norm2.state_dict())
        other.linear1.load_state_dict(own.mlp[0].state_dict())
        other.linear2.load_state_dict(own.mlp[2].state_dict())
    values = torch.randint(3, (4, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    words, codes = built.word_vectors.weight[built.texts[labels]], built.code_vectors.weight[values.flatten(1)]
    sequence = torch.cat([built.start.expand(4, 1, 16), words, codes[:, :-1]], 1) + built.positions
    known = built.transformer.norm(encoder(sequence, mask=nn.Transformer.generate_square_subsequent_mask(6)))
    scores = built.code_head(known[:, 2:]).view(4, 2, 2, 3).permute(0, 3, 1, 2)[:, :, None]
    torch.testing.assert_close(built.scores(values, labels), scores, rtol=1e-4, atol=1e-5)
    said = built.word_head(known[:, :2]).log_softmax(-1).gather(2, built.texts[labels][..., None]).sum((1, 2))
    torch.testing.assert_close(built.other_terms(labels)["caption"], -said, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_drawing_a_caption_is_drawing_its_class():
    """row 246: the words of a class's caption give what its label gives, and what full passes give."""
    built = made()
    for label, caption in enumerate(CAPTIONS):
        labels = torch.full((50,), label)
        of_class = built.sample_values(draws(50), labels)
        assert torch.equal(built.values_of_caption(draws(50), caption), of_class)
        uniform = draws(50).uniform(2, 2, 1).permute(0, 3, 1, 2)
        assert torch.equal(built.draw_by_full_passes(uniform, labels), of_class)
    assert not torch.equal(built.values_of_caption(draws(50), "blue square"), of_class)


def test_a_caption_is_learned_with_the_codes_of_a_vq_vae():
    """row 246: the loss `caption` is there for the prior of a VQ-VAE, and begins at the logarithm of the words."""
    prior = CaptionedCodes((1, 4, 4), levels=64, num_classes=3, captions=CAPTIONS)
    terms = VqVae(num_classes=3, prior=prior)(torch.rand(3, 1, 8, 8), torch.arange(3), StreamDraws(3))
    assert set(terms) == {"reconstruction", "commitment", "prior", "caption"}
    assert_close(terms["caption"], torch.full((3,), 2 * math.log(5)))
    assert_close(terms["prior"], torch.full((3,), 16 * math.log(64)))


@pytest.mark.parametrize("caption", ["purple square", "red square red"])
def test_words_that_were_never_seen_are_one_line(caption):
    with pytest.raises(UserError, match="allowed"):
        made().values_of_caption(draws(1), caption)


def test_each_class_needs_its_caption():
    with pytest.raises(UserError, match="captions"):
        made(captions=["red"])
    with pytest.raises(UserError, match="captions"):
        made(captions=["red", "green", " "])


@pytest.mark.slow
def test_shapes_have_the_colour_that_the_caption_says():
    """row 246: of 40 pictures a colour, drawn after 400 steps, 80% or more have it."""
    torch.manual_seed(0)
    split = Shapes(num_train=800, label_by="color").load(Stage.TRAIN)
    images = split.images.float() / 255
    prior = CaptionedCodes((1, 4, 4), levels=32, num_classes=4, captions=list(COLORS), width=32, num_layers=2)
    network = VqVae(
        (3, 16, 16),
        num_classes=4,
        num_codes=32,
        width=32,
        num_halvings=2,
        num_blocks=1,
        likelihood=Normal(0.05),
        prior=prior,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        part = torch.randint(len(images), (32,), generator=generator)
        loss = sum(term.mean() for term in network(images[part], split.labels[part], StreamDraws(32)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    right = 0
    for color in COLORS:
        codes = prior.values_of_caption(draws(40), color)[:, 0]
        right += sum(color_of(image) == color for image in network.decode_codes([codes]).detach())
    assert right >= 0.8 * 160


def color_of(image: torch.Tensor) -> str | None:
    """The nearest colour to the mean of the 16 most coloured pixels of (3, H, W); None: it is grey."""
    pixels = 255 * image.flatten(1)
    spread = pixels.amax(0) - pixels.amin(0)
    colored = pixels[:, spread.topk(16).indices].mean(1)
    distance = {name: (colored - torch.tensor(value)).norm().item() for name, value in COLORS.items()}
    return min(distance, key=distance.get) if spread.topk(16).values.mean() > 60 else None
