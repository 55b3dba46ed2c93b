"""How does a transform move the classes of pixels together with their image?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Pixels
from lightning_cv.errors import UserError


def transform_with_pixels(transform: nn.Module, image: Tensor, pixels: Pixels) -> tuple[Tensor, Pixels]:
    """Apply a torchvision v2 transform to an image and the classes of its pixels.

    What a transform adds beside the image (a crop of a smaller one, the corners of a rotated one) is ignored.

    Args:
        transform: takes `tv_tensors`.
        image: (C, H, W) uint8.
        pixels: of it.

    Raises:
        UserError: it would fill what it adds with a number, which would be one of a class too.
    """
    _refuse_fills(transform)
    layers = [_shifted(pixels.classes, IGNORED, 1)]
    if pixels.segments is not None:
        layers.append(_shifted(pixels.segments, VOID, 1 - CROWD_SEGMENT))
    moved, mask = transform(tv_tensors.Image(image), tv_tensors.Mask(torch.stack(layers)))
    back = mask.as_subclass(Tensor)
    classes = torch.where(back[0] == 0, IGNORED, back[0] - 1).to(torch.int16)
    segments = None
    if pixels.segments is not None:
        segments = torch.where(back[1] == 0, VOID, back[1] - 1 + CROWD_SEGMENT).int()
    return moved.as_subclass(Tensor), Pixels(classes, segments)


def _shifted(values: Tensor, unknown: int, by: int) -> Tensor:
    """Values of which 0 means unknown: transforms fill with 0."""
    return torch.where(values == unknown, 0, values.int() + by)


def _refuse_fills(transform: nn.Module) -> None:
    fill: Any = getattr(transform, "fill", None)
    if isinstance(fill, int | float | list | tuple) and fill not in (0, 0.0):
        raise UserError(
            f"data.init_args: {type(transform).__name__} fills masks with {fill} as well as images; allowed: fill: 0"
        )
    # Those of Compose and its like are no sub-modules.
    for part in getattr(transform, "transforms", transform.children()):
        _refuse_fills(part)
