"""The pyramid scene parsing network: what a pixel is depends on its surroundings, near, far and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.networks.blocks.dilated import DilatedFeatures


class PspNet(nn.Module):
    """PSPNet as published (Zhao et al. 2017; row 215): 46,592,597 parameters with ResNet-50 and 21 classes.

    The features, at an eighth of the image's size, are averaged over 1, 2 x 2, 3 x 3 and 6 x 6 regions; each average is
    made narrower, enlarged, and laid beside the features. (segmentation-models-pytorch's PSPNet builds its encoder
    whole and by default uses three stages of it: the others never train.)

    Args:
        num_classes: number of scores a pixel.
        backbone: name of the network that sees the image, see `DilatedFeatures`.
        weights: see `DilatedFeatures`.
        bins: regions of a row, of each average.
        width: channels of the last convolution.
        dropout: before the scores, in [0, 1).
        auxiliary: score the features of the stage before the last too, in training (see `Segment.aux_weight`).
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 21,
        backbone: str = "small",
        *,
        weights: str | None = None,
        bins: Sequence[int] = (1, 2, 3, 6),
        width: int = 512,
        dropout: float = 0.1,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = DilatedFeatures(backbone, weights=weights)
        before, channels = self.backbone.channels
        narrow = channels // len(bins)
        self.pools = nn.ModuleList(
            [nn.Sequential(nn.AdaptiveAvgPool2d(number), *_convolution(channels, narrow, 1)) for number in bins]
        )
        self.aux_head = _head(before, before // 4, dropout, num_classes) if auxiliary else None
        self.head = _head(channels + narrow * len(bins), width, dropout, num_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to scores (B, num_classes, H, W); with an auxiliary head, in training, two of them."""
        before, features = self.backbone(images)
        size = features.shape[-2:]
        seen = [F.interpolate(pool(features), size, mode="bilinear", align_corners=False) for pool in self.pools]
        scores = _enlarged(self.head(torch.cat([features, *seen], dim=1)), images)
        if self.aux_head is None or not self.training:
            return scores
        return scores, _enlarged(self.aux_head(before), images)


class _Norm(nn.BatchNorm2d):
    """A batch norm that uses what it has learned where a channel has one value: the whole of the only image."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        normed: Tensor = super().forward(input)
        return normed


def _convolution(into: int, out: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, size, padding=size // 2, bias=False), _Norm(out), nn.ReLU(inplace=True)]


def _head(into: int, width: int, dropout: float, num_classes: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(into, width, 3), nn.Dropout2d(dropout), nn.Conv2d(width, num_classes, 1))


def _enlarged(scores: Tensor, images: Tensor) -> Tensor:
    return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)
