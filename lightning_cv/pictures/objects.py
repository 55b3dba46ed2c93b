"""How are objects drawn on their image: what is there, and what was found?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_cv.pictures.text import font, readable

THERE = (0, 200, 80)
FOUND = (255, 60, 60)
SIDE_PX = 320  # of an image with objects: smaller ones are enlarged up to it, larger ones made this small
_TEXT_PX = 12
_POINT_PX = 3


@dataclass(frozen=True)
class Shape:
    """One object to draw, in pixels of its image.

    Args:
        box: corners (x1, y1, x2, y2).
        text: at its corner.
        color: RGB, each 0 to 255.
        mask: (H, W) bool; None: none.
        points: keypoints (x, y) that are known.
    """

    box: tuple[float, float, float, float]
    text: str
    color: tuple[int, int, int]
    mask: np.ndarray[Any, Any] | None = None
    points: Sequence[tuple[float, float]] = field(default_factory=tuple)


def draw_objects(image: Tensor, shapes: Sequence[Shape], *, side_px: int = SIDE_PX) -> Image.Image:
    """The image with its objects: masks tinted, boxes outlined, what they are at the upper corner, keypoints as dots.

    Args:
        image: (1 or 3, H, W) uint8.
        shapes: drawn in this order.
        side_px: the longer side of the picture.
    """
    picture = plain(image, side_px=side_px)
    factor = picture.width / image.shape[-1]
    for shape in shapes:
        if shape.mask is not None:
            _tint(picture, shape)
    pen = ImageDraw.Draw(picture)
    for shape in shapes:
        x1, y1, x2, y2 = (value * factor for value in shape.box)
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=shape.color, width=2)
        for x, y in shape.points:
            x, y = x * factor, y * factor  # noqa: PLW2901
            pen.ellipse((x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX), fill=shape.color, outline="white")
    for shape in shapes:
        _label(pen, picture, shape, factor)
    return picture


def plain(image: Tensor, *, side_px: int = SIDE_PX) -> Image.Image:
    """The image alone, its longer side as long as `side_px`."""
    array = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    factor = side_px / max(array.shape[:2])
    size = (max(1, round(array.shape[1] * factor)), max(1, round(array.shape[0] * factor)))
    kind = Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.BILINEAR
    return Image.fromarray(array).resize(size, kind)


def _tint(picture: Image.Image, shape: Shape) -> None:
    assert shape.mask is not None
    mask = Image.fromarray((shape.mask * 110).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    picture.paste(Image.new("RGB", picture.size, shape.color), (0, 0), mask)


def _label(pen: ImageDraw.ImageDraw, picture: Image.Image, shape: Shape, factor: float) -> None:
    text = readable(shape.text)
    if not text:
        return
    letters = font(_TEXT_PX)
    width = int(letters.getlength(text)) + 4
    x = min(max(0, int(shape.box[0] * factor)), max(0, picture.width - width))
    y = int(shape.box[1] * factor) - _TEXT_PX - 4
    # Of what is found the text stands at the lower edge, so that it does not cover what is there.
    if shape.color == FOUND:
        y = int(shape.box[3] * factor)
    y = min(max(0, y), picture.height - _TEXT_PX - 4)
    pen.rectangle((x, y, x + width, y + _TEXT_PX + 3), fill=shape.color)
    pen.text((x + 2, y + 1), text, fill="white", font=letters)
