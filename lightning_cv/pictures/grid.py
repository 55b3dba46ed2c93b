"""How are images shown side by side, each with what there is to say about it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw
from torch import Tensor

from lightning_cv.pictures.show import SIDE_PX
from lightning_cv.pictures.text import fit, fit_end, font, readable

GOOD = (0, 110, 45)
BAD = (185, 20, 30)
PLAIN = (70, 70, 70)

_BACKGROUND = (255, 255, 255)
_FRAME = (200, 200, 200)
_TITLE_PX, _TEXT_PX, _SMALL_PX = 15, 13, 11  # letters
_MARGIN_PX, _GAP_PX = 14, 16
_LEAST_WIDTH_PX = 420  # of a picture, so that its title has room


@dataclass(frozen=True)
class Caption:
    """One thing to say about an image.

    Args:
        key: what it is, before the text: "label".
        text: its beginning and its end are kept where it is too long.
        color: RGB, each 0 to 255.
        end: what stands behind the text, and is never left out.
    """

    key: str
    text: str
    color: tuple[int, int, int]
    end: str = ""


@dataclass(frozen=True)
class Tile:
    """An image and what is written below it.

    Args:
        image: uint8 (1 or 3, H, W); small ones are enlarged pixel by pixel.
        captions: each up to three lines.
        name: of the sample, in small letters; of a long one the end is kept.
    """

    image: Tensor
    captions: Sequence[Caption] = field(default_factory=tuple)
    name: str = ""


def grid_picture(tiles: Sequence[Tile], title: str, *, side_px: int = SIDE_PX) -> Image.Image:
    """The tiles in rows, in about as many rows as columns, below a title; without tiles the title alone.

    Args:
        tiles: their images up to `side_px` wide and high.
        title: up to three lines.
        side_px: width of a tile.
    """
    columns = math.ceil(math.sqrt(len(tiles)))
    images = [_enlarged(tile.image, side_px) for tile in tiles]
    height = max((image.height for image in images), default=0)
    drawn = [_tile(tile, image, (side_px, height)) for tile, image in zip(tiles, images, strict=True)]
    across = columns * side_px + max(columns - 1, 0) * _GAP_PX
    inner = max(across, _LEAST_WIDTH_PX)
    title_lines = fit(readable(title), inner, size_px=_TITLE_PX, num_lines=3)
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), max(columns, 1))]
    heights = [max(tile.height for tile in row) + _GAP_PX for row in rows]
    top = _MARGIN_PX + len(title_lines) * (_TITLE_PX + 6) + (8 if rows else 0)
    picture = Image.new("RGB", (inner + 2 * _MARGIN_PX, top + sum(heights) + (0 if rows else 8)), _BACKGROUND)
    write = ImageDraw.Draw(picture)
    for number, line in enumerate(title_lines):
        write.text((_MARGIN_PX, _MARGIN_PX + number * (_TITLE_PX + 6)), line, fill="black", font=font(_TITLE_PX))
    for row, height in zip(rows, heights, strict=True):
        for column, tile_picture in enumerate(row):
            picture.paste(tile_picture, (_MARGIN_PX + column * (side_px + _GAP_PX), top))
        top += height
    return picture


def _tile(tile: Tile, image: Image.Image, place: tuple[int, int]) -> Image.Image:
    """One tile: an image in the middle of a place of this width and height, and the text below."""
    width, height = place
    lines = [line for caption in tile.captions for line in _caption_lines(caption, width)]
    name = fit_end(readable(tile.name), width, size_px=_SMALL_PX)
    text_height = len(lines) * (_TEXT_PX + 4) + (_SMALL_PX + 5 if name else 0)
    picture = Image.new("RGB", (width, height + 6 + text_height), _BACKGROUND)
    left, top = (width - image.width) // 2, (height - image.height) // 2
    picture.paste(image, (left, top))
    write = ImageDraw.Draw(picture)
    # A light image would melt into the background.
    write.rectangle((left, top, left + image.width - 1, top + image.height - 1), outline=_FRAME)
    y = height + 4
    for text, color in lines:
        write.text((0, y), text, fill=color, font=font(_TEXT_PX))
        y += _TEXT_PX + 4
    if name:
        write.text((0, y), name, fill=PLAIN, font=font(_SMALL_PX))
    return picture


def _caption_lines(caption: Caption, width: int) -> list[tuple[str, tuple[int, int, int]]]:
    """Up to three lines: the key and the text, and behind them what must not be left out."""
    end = f" {caption.end}" if caption.end else ""
    whole = f"{caption.key}: {readable(caption.text)}"
    return [(line, caption.color) for line in fit(whole, width, size_px=_TEXT_PX, num_lines=3, end=end)]


def _enlarged(image: Tensor, side_px: int) -> Image.Image:
    """A picture of the tensor, each pixel a square of the largest whole size that fits."""
    channels, height, width = image.shape
    picture = Image.fromarray(image[0].numpy() if channels == 1 else image.permute(1, 2, 0).contiguous().numpy())
    factor = max(1, side_px // max(height, width))
    return picture.convert("RGB").resize((width * factor, height * factor), Image.Resampling.NEAREST)
