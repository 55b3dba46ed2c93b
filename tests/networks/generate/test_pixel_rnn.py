"""PixelRNN reads an image by its diagonals, all of what is before a pixel and nothing else."""

import itertools
import math

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.diagonal_lstm import DiagonalLstm, skew, unskew
from lightning_cv.networks.generate import PixelRnn
from lightning_cv.ops.draws import OwnDraws
from tests.tolerances import assert_close


def randomized(**options) -> PixelRnn:
    torch.manual_seed(0)
    network = PixelRnn(**options)
    for layer in (network.hidden, network.head):
        nn.init.normal_(layer.weight, std=0.5)
    return network


def order_of(image: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Places (channel, row, column): row by row, and of each pixel its channels in order."""
    channels, height, width = image
    return [(k, i, j) for i, j, k in itertools.product(range(height), range(width), range(channels))]


def sees(network: PixelRnn) -> torch.Tensor:
    """(D, D) bool: whether the scores of a value (row) change with another value (column); in float64."""
    network, order = network.double().eval(), order_of(network.image)
    base = torch.randint(network.levels, (1, *network.image), generator=torch.Generator().manual_seed(1))
    changed = base.repeat(len(order), 1, 1, 1)
    for source, place in enumerate(order):
        changed[(source, *place)] = (changed[(source, *place)] + 1) % network.levels
    with torch.no_grad():
        moved = (network.scores(changed) != network.scores(base)).any(1)
    return torch.stack([moved[(slice(None), *place)] for place in order])


def lstm_by_pixels(weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Equation 3 of the paper, a pixel after another: (h, H, W) of weights (2h, 4h) and gates (4h, H, W)."""
    width, (_, rows, columns) = weight.shape[0] // 2, inputs.shape
    nothing = torch.zeros(width, dtype=inputs.dtype)
    hidden, cell = {}, {}
    for i in range(rows):
        for j in range(columns):
            before, above = hidden.get((i, j - 1), nothing), hidden.get((i - 1, j), nothing)
            gates = inputs[:, i, j] + weight[:width].t() @ before + weight[width:].t() @ above
            o, f, k, g = gates.split(width)
            cell[i, j] = torch.sigmoid(f) * cell.get((i, j - 1), nothing) + torch.sigmoid(k) * torch.tanh(g)
            hidden[i, j] = torch.sigmoid(o) * torch.tanh(cell[i, j])
    return torch.stack([torch.stack([hidden[i, j] for j in range(columns)], -1) for i in range(rows)], -2)


def test_a_skewed_image_has_a_diagonal_in_each_column():
    """row 234: of 3 x 4 pixels, against the picture by hand (figure 3 of the paper); and back."""
    image = torch.arange(1, 13).view(1, 3, 4)
    drawn = [[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12]]
    assert skew(image).tolist() == [drawn]
    assert torch.equal(unskew(skew(image), 4), image)


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (5, 2), (1, 4), (4, 1)])
def test_the_diagonal_lstm_is_a_loop_over_pixels(size):
    """row 234: states and gradients of both directions against a loop over rows and columns, in float64."""
    generator = torch.Generator().manual_seed(0)
    lstm = DiagonalLstm(3, num_directions=2).double()
    inputs = torch.randn(2, 2, 12, *size, generator=generator, dtype=torch.float64)
    expected = torch.stack([torch.stack([lstm_by_pixels(lstm.weight[k], one) for one in inputs[k]]) for k in range(2)])
    states = lstm(inputs)
    assert_close(states, expected)
    towards = torch.randn(states.shape, generator=generator, dtype=torch.float64)
    assert_close(
        torch.autograd.grad((states * towards).sum(), lstm.weight)[0],
        torch.autograd.grad((expected * towards).sum(), lstm.weight)[0],
    )


@pytest.mark.parametrize(("size", "steps"), [((8, 8), 15), ((5, 9), 13)])
def test_an_image_takes_a_step_for_each_diagonal(size, steps, monkeypatch):
    """row 234: 2N - 1 steps a layer for N x N pixels, of both directions together."""
    network, taken = PixelRnn((1, *size), num_layers=3), []
    step = DiagonalLstm.step
    monkeypatch.setattr(DiagonalLstm, "step", lambda *args: taken.append(1) or step(*args))
    network.scores(torch.zeros(2, 1, *size, dtype=torch.int64))
    assert len(taken) == 3 * steps


@pytest.mark.parametrize("image", [(1, 7, 9), (3, 3, 5)])
def test_each_value_sees_all_before_it_and_nothing_else(image):
    """row 234: with one layer, whether the scores of each value change with each value; R, G, B in order."""
    network = randomized(image=image, levels=4, width=12, num_layers=1, kernel_size=3)
    size = network.num_values
    assert torch.equal(sees(network), torch.ones(size, size, dtype=torch.bool).tril(-1))


def test_without_the_addition_the_paper_forgets_the_last_pixel_of_a_row():
    """row 234: left of what the first convolution reaches, and nothing else; more layers do not help."""
    network = randomized(image=(1, 4, 7), levels=4, width=6, num_layers=3, kernel_size=3)
    nn.init.zeros_(network.above.weight)
    blind = torch.ones(28, 28, dtype=torch.bool).tril(-1) & ~sees(network)
    # A 3 x 3 kernel reaches one column to the right: of the next row the last two pixels see it.
    expected = [(7 * (row + 1) + column, 7 * row + 6) for row in range(3) for column in range(5)]
    assert blind.nonzero().tolist() == sorted([list(pair) for pair in expected])


def test_probabilities_of_all_images_sum_to_one():
    """rows 232, 234: over the 512 binary images of 3 x 3 pixels, of each class."""
    network = randomized(image=(1, 3, 3), levels=2, width=4, num_classes=2)
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=9))).view(-1, 1, 3, 3)
    for label in (0, 1):
        with torch.no_grad():
            p = network.log_prob(images, torch.full((512,), label)).double().exp()
        assert p.sum().item() == pytest.approx(1, abs=1e-5)
        assert p.max() > 2 * p.min()


def test_training_starts_at_eight_bits():
    """row 234: of three channels with a softmax over 256 values each."""
    network = PixelRnn((3, 4, 4), levels=256, width=6)
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert_close(-network.log_prob(images) / (48 * math.log(2)), torch.full((2,), 8.0))


def test_a_drawn_image_is_the_one_its_own_scores_lead_to():
    """rows 234, 242: each value is the level whose interval of the distribution function holds its number."""
    network = randomized(image=(3, 2, 3), levels=4, width=6, num_layers=1)
    uniform = OwnDraws.of_indices(torch.arange(5)).uniform(3, 2, 3)
    values = network.draw_values(uniform)
    with torch.no_grad():
        upper = network.scores(values).softmax(1).cumsum(1)
    at = upper.gather(1, values[:, None])[:, 0]
    below = at - network.scores(values).softmax(1).gather(1, values[:, None])[:, 0]
    assert (uniform <= at + 1e-6).all()
    assert (uniform >= below - 1e-6).all()


@pytest.mark.parametrize("option", [{"width": 4}, {"kernel_size": 4}, {"num_layers": 0}])
def test_a_size_that_cannot_be_is_refused_by_its_name(option):
    with pytest.raises(UserError, match=next(iter(option))):
        PixelRnn((3, 4, 4), **{"width": 6, **option})
