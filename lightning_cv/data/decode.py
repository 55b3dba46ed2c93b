"""How does an image file become a uint8 tensor?

torchvision's decoders of JPEG and PNG give the same pixels as Pillow and are up to twice as fast. (torchvision
0.29 announces that they will move to TorchCodec; Pillow reads every format here without them.)
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from lightning_cv.data.splits import UnreadableImageError

_FAST = frozenset({".jpg", ".jpeg", ".png"})  # torchvision decodes these
_SLOW = frozenset({".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})  # Pillow decodes these
SUFFIXES = _FAST | _SLOW


def is_image(name: str) -> bool:
    """Whether a file's name ends like that of an image that can be read; hidden files are none."""
    return name.lower().endswith(tuple(SUFFIXES)) and not name.startswith(".")


def read_image(path: Path, channels: int) -> Tensor:
    """Decode a file, turned upright as its EXIF data says; of an animation, the first frame.

    Args:
        path: a file with one of `SUFFIXES`.
        channels: 3 for RGB, 1 for grey.

    Returns:
        (channels, H, W) uint8; of 16-bit images, the upper 8 bits.

    Raises:
        UnreadableImageError: it is missing, empty, damaged or something else.
    """
    if path.suffix.lower() in _FAST:
        try:
            return _decode_fast(path, channels)
        except RuntimeError:
            pass  # Pillow reads more variants, and gives the clearer reason.
    try:
        return _decode_slow(path, channels)
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError and its own for damaged files.
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UnreadableImageError(str(path), reason) from error


def _decode_fast(path: Path, channels: int) -> Tensor:
    mode = ImageReadMode.RGB if channels == 3 else ImageReadMode.GRAY
    image = decode_image(str(path), mode=mode, apply_exif_orientation=True)
    if image.dtype == torch.uint16:
        image = (image.to(torch.int32) >> 8).to(torch.uint8)
    if image.shape[:-2] != (channels,):
        raise RuntimeError("another format behind this suffix, which torchvision does not convert")
    return image


def _decode_slow(path: Path, channels: int) -> Tensor:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255.
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1).contiguous()
