"""How is a picture of one coloured shape drawn?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = ("square", "disc", "triangle", "cross")
COLORS = {"red": (215, 45, 45), "green": (45, 180, 70), "blue": (60, 90, 225), "yellow": (225, 205, 50)}
_JITTER = 20  # of each value of a colour, to both sides
_DARK = (5, 60)  # grey of the ground
_FINE = 4  # points on each side of a pixel at which coverage is measured


@dataclass(frozen=True)
class Shape:
    """One shape and its place, in pixels.

    Args:
        name: one of `SHAPES`.
        color: (3,) 0 to 255.
        ground: grey, 0 to 255.
        center: x, y.
        side_px: of the square around it.
    """

    name: str
    color: tuple[int, int, int]
    ground: int
    center: tuple[float, float]
    side_px: float


def any_shape(name: str, color: str, size_px: int, side_px: tuple[int, int], generator: np.random.Generator) -> Shape:
    """Draw size, place, and shade of a shape that lies on the image as a whole.

    Args:
        name: one of `SHAPES`.
        color: one of `COLORS`.
        size_px: side of the image.
        side_px: smallest and largest side of the square around the shape.
        generator: every draw comes from it.
    """
    side = float(generator.uniform(*side_px))
    x, y = (float(value) for value in generator.uniform(side / 2, size_px - side / 2, 2))
    red, green, blue = (
        int(np.clip(value + generator.integers(-_JITTER, _JITTER + 1), 0, 255)) for value in COLORS[color]
    )
    return Shape(name, (red, green, blue), int(generator.integers(*_DARK)), (x, y), side)


def draw_shape(shape: Shape, size_px: int) -> NDArray[np.uint8]:
    """(H, W, 3): colour and ground, mixed at the edges by how much of a pixel the shape covers."""
    share = coverage(shape, size_px)[..., None]
    return np.round(share * shape.color + (1 - share) * shape.ground).astype(np.uint8)


def coverage(shape: Shape, size_px: int) -> NDArray[Any]:
    """(H, W) in [0, 1]: which part of each pixel lies within the shape."""
    points = (np.arange(size_px * _FINE) + 0.5) / _FINE
    # From the middle, in halves of the side.
    x = (points[None] - shape.center[0]) / (shape.side_px / 2)
    y = (points[:, None] - shape.center[1]) / (shape.side_px / 2)
    match shape.name:
        case "square":
            inside = (abs(x) <= 1) & (abs(y) <= 1)
        case "disc":
            inside = x**2 + y**2 <= 1
        case "triangle":
            inside = (abs(x) <= (1 + y) / 2) & (abs(y) <= 1)
        case _:
            third = 1 / 3
            inside = ((abs(x) <= third) & (abs(y) <= 1)) | ((abs(y) <= third) & (abs(x) <= 1))
    return inside.reshape(size_px, _FINE, size_px, _FINE).mean((1, 3))
