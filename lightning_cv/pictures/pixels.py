"""How are the classes of pixels laid over their image, with what each colour means?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_cv.contracts import Color
from lightning_cv.pictures.objects import plain
from lightning_cv.pictures.text import font, readable, shorten

_OPACITY = 0.6
_UNKNOWN: Color = (255, 255, 255)
_TEXT_PX, _BOX_PX, _GAP_PX = 12, 12, 6
_MAX_LETTERS = 24


def lay_over(
    image: Tensor, classes: NDArray[Any], colors: Sequence[Color], *, side_px: int, edges: NDArray[Any] | None = None
) -> Image.Image:
    """The image with the colour of each pixel's class over it, and a line round each segment; black hides nothing.

    Args:
        image: (1 or 3, H, W) uint8.
        classes: (H, W) class index; below 0: white.
        colors: one a class.
        side_px: the longer side of the picture.
        edges: (H, W) what differs where a line belongs, such as the numbers of segments; None: classes.
    """
    picture = plain(image, side_px=side_px)
    table = np.array([*colors, _UNKNOWN], dtype=np.uint8)
    tint = Image.fromarray(table[np.where(classes < 0, len(colors), classes)])
    tints = np.asarray(tint.resize(picture.size, Image.Resampling.NEAREST)).astype(np.float64)
    opacity = _OPACITY * tints.any(-1, keepdims=True)
    blended = (np.asarray(picture) * (1 - opacity) + tints * opacity).round().astype(np.uint8)
    numbers = Image.fromarray((classes if edges is None else edges).astype(np.int32))
    blended[_edges(np.asarray(numbers.resize(picture.size, Image.Resampling.NEAREST)))] = 255
    return Image.fromarray(blended)


def legend(names: Sequence[str], colors: Sequence[Color], width_px: int) -> Image.Image:
    """What each colour means, in rows of this width.

    Args:
        names: one a class.
        colors: one a class.
        width_px: of the picture.
    """
    letters = font(_TEXT_PX)
    texts = [shorten(readable(name), _MAX_LETTERS) for name in names]
    places: list[tuple[int, int]] = []
    x = y = _GAP_PX
    row_px = _TEXT_PX + _GAP_PX
    for text in texts:
        needed = _BOX_PX + 4 + int(letters.getlength(text)) + 2 * _GAP_PX
        if x > _GAP_PX and x + needed > width_px:
            x, y = _GAP_PX, y + row_px
        places.append((x, y))
        x += needed
    picture = Image.new("RGB", (width_px, y + row_px + _GAP_PX), "white")
    pen = ImageDraw.Draw(picture)
    for text, color, (left, top) in zip(texts, colors, places, strict=True):
        pen.rectangle((left, top, left + _BOX_PX, top + _BOX_PX), fill=color, outline=(120, 120, 120))
        pen.text((left + _BOX_PX + 4, top - 1), text, fill="black", font=letters)
    return picture


def below(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """Two pictures, one below the other."""
    picture = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), "white")
    picture.paste(upper, (0, 0))
    picture.paste(lower, (0, upper.height))
    return picture


def beside(pictures: Sequence[Image.Image], gap_px: int = 4) -> Image.Image:
    """Pictures in a row, with a white gap."""
    width = sum(picture.width for picture in pictures) + gap_px * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + gap_px
    return joined


def _edges(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose neighbour at the right or below has another number."""
    edges = np.zeros(numbers.shape, dtype=np.bool_)
    edges[:, :-1] |= numbers[:, 1:] != numbers[:, :-1]
    edges[:-1] |= numbers[1:] != numbers[:-1]
    return edges
