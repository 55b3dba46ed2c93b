"""What lies between one image and another, if their latent vectors are points on a sphere?"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from lightning_cv.contracts import DecodesLatents, Draws
from lightning_cv.errors import UserError

_PARALLEL = 1e-4  # sine of an angle below which there is no one plane to turn in


@torch.no_grad()
def walk(
    network: DecodesLatents, draws: Draws, *, num_frames: int, label: Tensor | None = None, batch_size: int = 64
) -> Tensor:
    """Images along a closed path through latent vectors from N(0, 1) (row 251); see `closed_path`.

    Args:
        network: decodes latent vectors.
        draws: for the points that the path goes through, 2 or more: few far apart, or many that hurry.
        num_frames: F, 2 or more.
        label: (1,) int64 where the network is conditional.
        batch_size: frames decoded at once.

    Returns:
        (F, C, H, W) float32 in [0, 1]; the first is what would follow the last.

    Raises:
        UserError: too few points or frames.
    """
    parts = closed_path(draws.normal(network.num_latents), num_frames).split(batch_size)
    images = [network.decode(part, None if label is None else label.expand(len(part))) for part in parts]
    return torch.cat(images).float()


def closed_path(points: Tensor, num_frames: int) -> Tensor:
    """Vectors (F, Z) on the way through points (P, Z) and back to the first, at even distances on the way.

    From point to point it goes along the sphere: a straight line would cut through its inside, where a normal
    distribution of many dimensions has next to nothing (White 2016, Sampling generative networks, section 2).

    Raises:
        UserError: too few points or frames.
    """
    if num_frames < 2 or len(points) < 2:
        raise UserError(
            f"a walk of {num_frames} frames through {len(points)} points; allowed: 2 or more, through 2 or more"
        )
    points = points.float()
    ends = [*points, points[0]]
    lengths = torch.stack([_length(start, end) for start, end in pairwise(ends)]).double().cpu()
    reached = torch.cat([torch.zeros(1, dtype=torch.float64), lengths.cumsum(0)])
    frames = []
    for place in torch.arange(num_frames, dtype=torch.float64) * (reached[-1] / num_frames):
        arc = min(int((reached[1:] <= place).sum()), len(points) - 1)
        share = (place - reached[arc]) / lengths[arc].clamp(min=1e-12)
        frames.append(slerp(ends[arc], ends[arc + 1], float(share)))
    return torch.stack(frames)


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The vector (Z,) at a share, in [0, 1], of the way from one to another (Shoemake 1985, section 3.3).

    Its direction turns evenly, its length changes evenly. Of vectors that are parallel, or opposite, it is on the
    straight line.
    """
    lengths = start.norm(), end.norm()
    angle = _angle(start, end)
    if angle.sin() < _PARALLEL:
        return start + share * (end - start)
    direction = (
        ((1 - share) * angle).sin() * start / lengths[0] + (share * angle).sin() * end / lengths[1]
    ) / angle.sin()
    return direction * (lengths[0] + share * (lengths[1] - lengths[0]))


def _length(start: Tensor, end: Tensor) -> Tensor:
    """Of the way that `slerp` takes, up to the change of length along it."""
    angle = _angle(start, end)
    return (end - start).norm() if angle.sin() < _PARALLEL else angle * (start.norm() + end.norm()) / 2


def _angle(start: Tensor, end: Tensor) -> Tensor:
    """In [0, pi]; from both sides of the half angle, since the arc cosine has no digits near its ends (Kahan)."""
    a, b = start * end.norm(), end * start.norm()
    return 2 * torch.atan2((a - b).norm(), (a + b).norm())
