"""How do feature maps become a pyramid whose levels all have as many channels (row 195)?"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool, LastLevelP6P7

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps, Norm

Extra = Literal["none", "pool", "convolutions"]


class Pyramid(nn.Module):
    """A feature pyramid network on a backbone (Lin et al. 2017).

    Args:
        backbone: see `FeatureMaps`.
        weights: see `FeatureMaps`.
        norm: see `FeatureMaps`.
        trainable_stages: see `FeatureMaps`.
        channels: of every level.
        first_stride: of the finest level: 4 or 8.
        extra: coarser levels beside those of the backbone: `pool` (one, by pooling), `convolutions` (two; as in
            RetinaNet), `none`.

    Attributes:
        out_channels: of every level, as torchvision's detectors ask.
        strides: of the levels, the finest first.
    """

    def __init__(
        self,
        backbone: str = "small",
        *,
        weights: str | None = None,
        norm: Norm = "batch",
        trainable_stages: int = 5,
        channels: int = 256,
        first_stride: Literal[4, 8] = 4,
        extra: Extra = "pool",
    ) -> None:
        super().__init__()
        if first_stride not in (4, 8):
            raise UserError(f"first_stride: {first_stride} given, allowed: 4, 8")
        self.body = FeatureMaps(backbone, weights=weights, norm=norm, trainable_stages=trainable_stages)
        self._first = STRIDES.index(first_stride)
        used = list(self.body.channels[self._first :])
        block: ExtraFPNBlock | None = None
        if extra == "pool":
            block = LastLevelMaxPool()
        elif extra == "convolutions":
            block = LastLevelP6P7(channels, channels)
        self.fpn = FeaturePyramidNetwork(used, channels, block)
        self.out_channels = channels
        further = {"none": 0, "pool": 1, "convolutions": 2}[extra]
        self.strides = (*STRIDES[self._first :], *(STRIDES[-1] * 2**n for n in range(1, further + 1)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) to maps (B, channels, H / stride, W / stride), named by their number."""
        maps = self.body(images)[self._first :]
        named = OrderedDict((str(number), feature_map) for number, feature_map in enumerate(maps))
        levels: dict[str, Tensor] = self.fpn(named)
        return levels
