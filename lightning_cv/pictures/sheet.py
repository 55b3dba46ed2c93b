"""How are many small images shown side by side, without a word to each?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

from lightning_cv.pictures.show import show_images
from lightning_cv.pictures.text import fit, font, readable

_SHEET_PX = 900  # about as wide as a sheet gets
_TITLE_PX, _MARGIN_PX = 15, 8
_PAPER = 245  # grey between the images


def sheet_picture(images: Tensor, title: str = "", *, columns: int | None = None) -> Image.Image:
    """Images in rows, enlarged pixel by pixel, below a title.

    Args:
        images: (N, C, H, W) float in [0, 1]; of more than three channels the first three are shown.
        title: up to three lines; "": none.
        columns: images in a row; None: about as many as rows.
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(images))))
    side = max(images.shape[-2:])
    shown = enlarged(images, max(1, min(64, _SHEET_PX // columns) // side))
    grid = make_grid(list(shown), nrow=columns, padding=2, pad_value=_PAPER)
    sheet = Image.fromarray(grid.permute(1, 2, 0).contiguous().numpy())
    width = max(sheet.width, 260 if title else 0)
    lines = fit(readable(title), width - 2 * _MARGIN_PX, size_px=_TITLE_PX, num_lines=3) if title else []
    top = len(lines) * (_TITLE_PX + 6) + (_MARGIN_PX if lines else 0)
    picture = Image.new("RGB", (width, top + sheet.height), (_PAPER,) * 3)
    write = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        write.text((_MARGIN_PX, _MARGIN_PX // 2 + number * (_TITLE_PX + 6)), line, fill="black", font=font(_TITLE_PX))
    picture.paste(sheet, (0, top))
    return picture


def enlarged(images: Tensor, factor: int = 1) -> Tensor:
    """uint8 (N, 1 or 3, H x factor, W x factor) of float images in [0, 1]."""
    shown = _bytes(images)
    return shown.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def save_image(image: Tensor, path: Path) -> None:
    """Write an image (1 or 3, H, W) in [0, 1], pixel by pixel."""
    shown = enlarged(image[None])[0]
    Image.fromarray((shown[0] if len(shown) == 1 else shown.permute(1, 2, 0).contiguous()).numpy()).save(path)


def interleaved(parts: Sequence[Tensor]) -> Tensor:
    """The first of each part, the second of each, ...: (len(parts) * N, C, H, W)."""
    return torch.stack(list(parts), dim=1).flatten(0, 1)


def _bytes(images: Tensor) -> Tensor:
    channels = images.shape[1]
    return show_images(images, [0.0] * channels, [1.0] * channels, side_px=max(images.shape[-2:]))
