"""How are regions of any size cut out of a feature map at one size?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from lightning_cv.errors import UserError


class RegionPool(nn.Module):
    """Regions cut out of one feature map, each 7 x 7 places large (rows 186, 187).

    Args:
        kind: "align" (bilinear at regular points), or "pool" (snapped to the grid, the largest value).
        stride: pixels of the image from one place of the map to the next.
    """

    SIDE: ClassVar[int] = 7

    def __init__(self, kind: Literal["align", "pool"], stride: int) -> None:
        super().__init__()
        if kind not in ("align", "pool"):
            raise UserError(f"pooling: {kind} given, allowed: align, pool")
        self.kind = kind
        self.stride = stride

    def forward(self, features: Mapping[str, Tensor], boxes: list[Tensor], sizes: Sequence[tuple[int, int]]) -> Tensor:
        """(R, C, 7, 7) of boxes in pixels; `sizes` is what torchvision passes on."""
        only = features["0"]
        if self.kind == "align":
            return roi_align(only, boxes, self.SIDE, 1 / self.stride, sampling_ratio=2, aligned=True)
        return roi_pool(only, boxes, self.SIDE, 1 / self.stride)
