"""What were the pixels of normalized images?"""

from typing import Any

import torch
from torch import Tensor

from lightning_cv.contracts import DataInfo


class PixelScale:
    """Undoes the normalization of data; remembers its numbers on the device, since to bring them there waits for it."""

    def __init__(self) -> None:
        self._scale: tuple[Any, list[Tensor]] | None = None

    def __call__(self, images: Tensor, info: DataInfo | None) -> Tensor:
        """Values in [0, 1] of normalized images (B, C, H, W): what generative networks take.

        Args:
            images: as data give them.
            info: what these publish; None: nothing, and the images are taken to be in [0, 1].
        """
        if info is None:
            return images
        key = (info.mean, info.std, images.device)
        if self._scale is None or self._scale[0] != key:
            shape = (1, info.channels, 1, 1)
            made = [torch.tensor(values, device=images.device).view(shape) for values in (info.mean, info.std)]
            self._scale = key, made
        mean, std = self._scale[1]
        return (images.float() * std + mean).clamp(0, 1)
