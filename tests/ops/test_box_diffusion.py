"""Boxes become noise, and come back."""

from itertools import pairwise, permutations

import pytest
import torch

from lightning_cv.ops.assignment import cheapest_pairs
from lightning_cv.ops.box_diffusion import BoxDiffusion
from tests.tolerances import assert_close

BOXES = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.4, 0.4, 0.9, 0.8]])


def test_at_the_last_time_nothing_is_left_of_the_box():
    """row 198: signals at t = T - 1 are N(0, 1) whatever the box; at t = 0 they are nearly the box's own."""
    diffusion = BoxDiffusion()
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0))
    last = torch.tensor(diffusion.num_times - 1)
    signal = diffusion._mixed(diffusion.signal_of(BOXES[:1]).expand(len(noise), -1), last, noise)
    assert signal.mean().abs() < 0.02
    assert signal.std().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(signal, noise, rtol=0, atol=1e-3)
    assert diffusion.kept[0] > 0.999
    assert (diffusion.kept.diff() < 0).all()


def test_boxes_and_signals_are_each_others_inverse():
    """row 198: a box within the image is unchanged by the way there and back."""
    diffusion = BoxDiffusion()
    assert_close(diffusion.boxes_of(diffusion.signal_of(BOXES)), BOXES)


def test_with_the_true_boxes_any_number_of_steps_ends_at_them():
    """row 198: DDIM with a perfect guess ends at the clean boxes, and stays on the line from the noise there."""
    diffusion = BoxDiffusion()
    noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    for times in ([999, -1], [999, 500, -1], [999, 749, 499, 249, -1]):
        signal = diffusion._mixed(diffusion.signal_of(BOXES), torch.tensor(times[0]), noise)
        for time, next_time in pairwise(times):
            signal = diffusion.step(signal, BOXES, time, next_time)
            if next_time >= 0:
                expected = diffusion._mixed(diffusion.signal_of(BOXES), torch.tensor(next_time), noise)
                torch.testing.assert_close(signal, expected, rtol=1e-3, atol=1e-3)
        assert_close(diffusion.boxes_of(signal), BOXES)


@pytest.mark.parametrize("seed", range(6))
def test_the_cheapest_pairing_is_that_of_brute_force(seed):
    """row 197: over all 5! orders of 5 objects among 5 to 7 predictions."""
    cost = torch.rand(5 + seed % 3, 5, generator=torch.Generator().manual_seed(seed))
    rows, columns = cheapest_pairs(cost)
    assert (rows.diff() > 0).all()
    best = min(
        sum(cost[row, column].item() for column, row in enumerate(chosen))
        for chosen in permutations(range(len(cost)), 5)
    )
    assert cost[rows, columns].sum().item() == pytest.approx(best, abs=1e-6)
    assert sorted(columns.tolist()) == list(range(5))
