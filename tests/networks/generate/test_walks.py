"""Walks on the sphere: against rotations by NumPy, and by the steps between their frames."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import ConvVae, MlpVae
from lightning_cv.networks.generate.walks import closed_path, slerp, walk
from lightning_cv.ops.draws import OwnDraws
from tests.tolerances import assert_close


def draws(count: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_way_is_a_rotation(share):
    """row 251: oracle, the matrix of a rotation by a share of 50 degrees in one plane, by NumPy."""
    start, angle = np.array([3.0, 0.0, 0.0]), math.radians(50)

    def turned(by: float) -> np.ndarray:
        return np.array([[math.cos(by), -math.sin(by), 0], [math.sin(by), math.cos(by), 0], [0, 0, 1]]) @ start

    found = slerp(torch.from_numpy(start), torch.from_numpy(turned(angle)), share)
    assert_close(found, torch.from_numpy(turned(share * angle)))


def test_a_short_way_keeps_its_digits_and_opposites_have_one():
    """row 251: of two vectors 1e-6 apart the middle is the middle; of opposite ones, and of one number, the line."""
    start = torch.tensor([1.0, 2.0])
    assert_close(slerp(start, start + 1e-6, 0.5), start + 5e-7)
    assert_close(slerp(start, -start, 0.5), torch.zeros(2))
    assert_close(slerp(torch.tensor([2.0]), torch.tensor([-1.0]), 1 / 3), torch.tensor([1.0]))


def test_a_path_is_even_closed_and_stays_on_the_sphere():
    """row 251: its steps have one length, the last leads back to the first point, no frame falls inside."""
    points = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    points = points / points.norm(dim=1, keepdim=True) * 5
    path = closed_path(points, 400)
    steps = (path.roll(-1, 0) - path).norm(dim=1)
    assert steps.max() < 1.05 * steps.mean()
    assert_close(path[0], points[0])
    assert_close(path.norm(dim=1), torch.full((400,), 5.0))
    for point in points:
        assert (path - point).norm(dim=1).min() <= steps.max()
    straight = (points[0] + points[1]) / 2
    assert straight.norm() < 4


def test_frames_are_even_however_the_points_lie():
    """row 251: of points that are near and far the far ones get more frames."""
    corner = torch.tensor([[1.0, 0.0], [math.cos(0.1), math.sin(0.1)], [-1.0, 0.1]])
    steps = (closed_path(corner, 300).roll(-1, 0) - closed_path(corner, 300)).norm(dim=1)
    assert steps.max() < 1.1 * steps.mean()


@pytest.mark.parametrize("network", [MlpVae, ConvVae])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frames_of_a_walk_differ_smoothly(network, seed):
    """row 251: the largest step between images is below 3 times the mean one; from point to point it would not be."""
    torch.manual_seed(seed)
    built = network(num_classes=3).eval()
    for parameter in built.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, generator=torch.Generator().manual_seed(seed))
    label = torch.tensor([1])
    frames = walk(built, draws(4, seed), num_frames=60, label=label)
    assert frames.shape == (60, *built.image)
    steps = (frames.roll(-1, 0) - frames).flatten(1).norm(dim=1)
    assert steps.max() < 3 * steps.mean()
    points = built.decode(draws(4, seed).normal(built.num_latents), label.expand(4))
    assert_close(frames[0], points[0])
    jumps = points.repeat_interleave(15, 0)
    hurried = (jumps.roll(-1, 0) - jumps).flatten(1).norm(dim=1)
    assert hurried.max() > 3 * hurried.mean()


def test_a_walk_is_the_same_again_and_another_for_other_points():
    """row 251: it comes of its draws alone."""
    built = MlpVae().eval()
    first = walk(built, draws(3), num_frames=5)
    assert torch.equal(first, walk(built, draws(3), num_frames=5))
    assert not torch.equal(first, walk(built, draws(3, seed=1), num_frames=5))


@pytest.mark.parametrize(("points", "frames"), [(1, 10), (3, 1)])
def test_too_few_points_or_frames_are_one_line(points, frames):
    with pytest.raises(UserError, match=rf"{frames} frames through {points} points"):
        walk(MlpVae(), draws(points), num_frames=frames)
