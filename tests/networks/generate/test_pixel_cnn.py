"""The gated PixelCNN: its gate, its masks, what it is told, and a source whose entropy is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.gated_convolution import GatedConvolution, RowConvolution, gate
from lightning_cv.networks.generate import PixelCnn
from lightning_cv.ops.draws import OwnDraws
from tests.networks.generate.sources import bars
from tests.networks.generate.test_contract import build
from tests.tolerances import assert_close


def train(network: PixelCnn, images: torch.Tensor, labels: torch.Tensor | None = None, *, steps: int) -> list[float]:
    """The mean -log p in nats of all images, before each step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        loss = -network.log_prob(images, labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_a_gate_is_tanh_times_sigmoid():
    """row 235: equation 2 of the paper, in NumPy."""
    features = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    first, second = np.split(features.numpy(), 2, axis=1)
    assert_close(gate(features), torch.from_numpy(np.tanh(first) / (1 + np.exp(-second))))


def test_a_layer_is_two_stacks_by_hand():
    """row 235: figure 2 of the paper, place by place in NumPy: up 2 rows, left 1 pixel, over into the row."""
    torch.manual_seed(0)
    layer = GatedConvolution(2, kernel_size=3, channels=1, num_classes=None).double()
    vertical, horizontal = torch.randn(2, 1, 2, 4, 5).double()
    got_vertical, got_horizontal = layer(vertical, horizontal, None, None)
    up, back, down, onward = (
        p.weight.detach().numpy() for p in (layer.look_up, layer.look_back, layer.down, layer.onward)
    )
    padded = np.pad(vertical[0].numpy(), ((0, 0), (1, 0), (1, 1)))
    before = np.pad(horizontal[0].numpy(), ((0, 0), (0, 0), (1, 0)))

    def gated(x: np.ndarray) -> np.ndarray:
        return np.tanh(x[:2]) / (1 + np.exp(-x[2:]))

    for row in range(4):
        for column in range(5):
            above = np.einsum("oikl,ikl->o", up, padded[:, row : row + 2, column : column + 3])
            above += layer.look_up.bias.detach().numpy()
            assert_close(got_vertical[0, :, row, column].detach(), torch.from_numpy(gated(above)))
            seen = np.einsum("oil,il->o", back[:, :, 0], before[:, row, column : column + 2])
            seen += down[:, :, 0, 0] @ above + layer.down.bias.detach().numpy()
            out = onward[:, :, 0, 0] @ gated(seen) + layer.onward.bias.detach().numpy()
            expected = torch.from_numpy(out) + horizontal[0, :, row, column]
            assert_close(got_horizontal[0, :, row, column].detach(), expected)


@pytest.mark.parametrize("strict", [True, False], ids=["mask A", "mask B"])
def test_maps_of_a_color_see_those_of_colors_before(strict):
    """row 235: section 3.4 of Pixel recurrent neural networks, by the derivative of each map by each."""
    torch.manual_seed(0)
    colors = torch.tensor([0, 0, 1, 1, 2, 2])
    convolution = RowConvolution(colors, colors, size=2, strict=strict)
    jacobian = torch.autograd.functional.jacobian(lambda x: convolution(x)[0, :, 0, 1], torch.randn(1, 6, 1, 2))[
        :, 0, :, 0
    ]
    assert (jacobian[..., 0] != 0).all()
    for out in range(6):
        for into in range(6):
            allowed = into // 2 < out // 2 if strict else into // 2 <= out // 2
            assert bool(jacobian[out, into, 1] != 0) == allowed


def test_it_learns_bars_and_says_no_more_of_them_than_there_is():
    """row 235: of 8 equally likely images -log p falls to 2.3 nats or less, and never below the entropy ln 8."""
    torch.manual_seed(0)
    network = PixelCnn((1, 4, 4), levels=2, width=16, num_layers=3)
    losses = train(network, bars(), steps=300)
    assert losses[0] == pytest.approx(16 * math.log(2), abs=1e-3)
    assert losses[-1] <= 2.3
    assert min(losses) >= math.log(8) - 1e-3
    drawn = network.sample(OwnDraws.of_indices(torch.arange(200)))
    known = (drawn[:, None] == bars()[None]).flatten(2).all(2)
    assert known.any(1).float().mean() > 0.8
    assert known.any(0).all()  # each of the 8


def test_values_of_an_order_are_numbers_and_codes_are_not():
    """row 235: of codes each has a vector of its own; the scores of later values say which code it was."""
    ordered, codes = (PixelCnn(levels=300, width=8, ordered=flag) for flag in (True, False))
    assert ordered.enter(torch.tensor([[[[0, 299]]]])).tolist() == [[[[1.0, 1.0]], [[-1.0, 1.0]]]]
    entered = codes.enter(torch.tensor([[[[7, 8]]]]))
    assert entered.shape == (1, 9, 1, 2)
    assert torch.equal(entered[0, 1:, 0, 1], codes.codes.weight[8])


@pytest.mark.parametrize("channels", [1, 2])
def test_a_context_changes_what_is_said_and_drawn(channels):
    """rows 231, 235: it is seen at its place and in later rows, by both ways of drawing alike."""
    network = build(PixelCnn, image=(channels, 4, 5), num_classes=2, ordered=False, width=8, context_channels=3).eval()
    drawn = torch.Generator().manual_seed(3)
    values = torch.randint(17, (2, channels, 4, 5), generator=drawn)
    labels, context = torch.tensor([0, 1]), torch.randn(2, 3, 4, 5, generator=drawn)
    changed = context.clone()
    changed[:, :, 2, 2] += 1
    with torch.no_grad():
        same = (network.scores(values, labels, context) == network.scores(values, labels, changed)).all(1)
    assert not same[:, :, 2, 2].any()
    assert not same[:, :, 3, 1:4].any()
    assert same[:, :, :2].all()
    uniform = torch.rand(2, channels, 4, 5, generator=drawn)
    nn.init.normal_(network.head.weight, std=3, generator=drawn)  # so that what is said decides what is drawn
    of_both = [network.draw_values(uniform, labels, given) for given in (context, -context)]
    assert not torch.equal(*of_both)
    assert torch.equal(of_both[0], network.draw_by_full_passes(uniform, labels, context))
    assert_close(
        network.log_prob_of_values(values, labels, context)[1:],
        network.log_prob_of_values(values[1:], labels[1:], context[1:]),
    )


def test_columns_of_activations_are_those_of_a_full_pass():
    """row 235: drawn with memory, a 12x12 image in 3 colors is that of full passes, with wide kernels too."""
    network = build(PixelCnn, image=(3, 12, 12), levels=256, width=12, num_layers=2, kernel_size=5).eval()
    uniform = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    assert torch.equal(network.draw_values(uniform), network.draw_by_full_passes(uniform))


def test_a_mistake_is_one_line():
    for key, options in {
        "kernel_size": {"kernel_size": 4},
        "num_layers": {"num_layers": 0},
        "width": {"image": (3, 8, 8), "width": 2},
    }.items():
        with pytest.raises(UserError, match=key):
            PixelCnn(**options)
    values = torch.zeros(1, 1, 8, 8, dtype=torch.int64)
    with pytest.raises(UserError, match="context_channels is 0"):
        PixelCnn().scores(values, None, torch.zeros(1, 1, 8, 8))
    with pytest.raises(UserError, match="give the context"):
        PixelCnn(context_channels=1).scores(values)
