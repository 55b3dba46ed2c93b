"""In which files do images lie that a network drew?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from lightning_cv.pictures.sheet import save_image, sheet_picture
from lightning_cv.recipe.files import display_path

_FRAME_MS = 80
_LAST_FRAME_MS = 1500  # of a way that ends, so that one sees where


def write_images(folder: Path, images: Tensor, *, title: str = "", columns: int | None = None) -> Path:
    """`grid.png`, and each of the images (N, C, H, W) in [0, 1] in a file of its own; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet_picture(images, title, columns=columns).save(folder / "grid.png")
    for number, image in enumerate(images):
        save_image(image, folder / f"{number:04d}.png")
    return folder


def write_gif(path: Path, frames: Tensor, *, is_loop: bool) -> Path:
    """A moving picture of frames (F, N, C, H, W) in [0, 1], each a grid of N images; returns the file.

    Args:
        path: ends with .gif.
        frames: in order of time.
        is_loop: the last frame leads to the first; else it stays for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [sheet_picture(images) for images in frames]
    is_grey = frames.shape[2] == 1
    pictures = [picture.convert("L") for picture in pictures] if is_grey else _with_one_palette(pictures)
    times = [_FRAME_MS] * len(pictures)
    if not is_loop:
        times[-1] = _LAST_FRAME_MS
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return path


def _with_one_palette(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """With 256 colours that are the same in all: still pixels do not flicker."""
    width, height = pictures[0].size
    shown = [*pictures[:: max(1, len(pictures) // 8)], pictures[-1]]
    all_colors = Image.new("RGB", (width, height * len(shown)))
    for number, picture in enumerate(shown):
        all_colors.paste(picture, (0, number * height))
    palette = all_colors.quantize(256)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def where(folder: Path) -> list[str]:
    """The line that tells where the grid lies."""
    return [f"grid      {display_path(folder)}/grid.png"]
