"""The fully convolutional network: a classifier's features, scored at several sizes and added up."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.bilinear_convolution import BilinearConvolution
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps


class Fcn(nn.Module):
    """FCN-32s, FCN-16s, FCN-8s (Long et al. 2015; row 209).

    The deepest features are scored by a 1 x 1 convolution; the scores are enlarged twice by a transposed convolution
    that starts as bilinear interpolation and is trained (row 213; one for all classes), and added to those of the
    features before, down to `stride`. From there scores are interpolated. (torchvision's `fcn_resnet50` has dilated
    features and one size.)

    Args:
        num_classes: number of scores a pixel.
        backbone: sees the image.
        stride: of the finest features that are scored: 32, 16, 8, 4.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self, num_classes: int = 21, backbone: FeatureMaps | None = None, *, stride: Literal[4, 8, 16, 32] = 8
    ) -> None:
        super().__init__()
        if stride not in STRIDES:
            raise UserError(f"Fcn stride: {stride} given, allowed: {', '.join(map(str, STRIDES))}")
        self.backbone = backbone or FeatureMaps()
        self._first = STRIDES.index(stride)
        self.scores = nn.ModuleList([nn.Conv2d(c, num_classes, 1) for c in self.backbone.channels[self._first :]])
        self.enlarge = nn.ModuleList([BilinearConvolution() for _ in self.scores[1:]])

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), H and W multiples of 32, to scores (B, num_classes, H, W)."""
        maps = self.backbone(images)[self._first :]
        *finer, scores = [layer(feature_map) for layer, feature_map in zip(self.scores, maps, strict=True)]
        for beside, enlarge in zip(reversed(finer), self.enlarge, strict=True):
            scores = beside + enlarge(scores)
        return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)

    def get_classifier(self) -> list[nn.Module]:
        """The layers that score."""
        return list(self.scores)
