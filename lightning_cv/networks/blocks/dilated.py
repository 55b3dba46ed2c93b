"""How does a classifier's network keep seeing an image at an eighth of its size, where it would go on to a 32nd?"""

from __future__ import annotations

from itertools import pairwise

import timm
import torchvision
from torch import Tensor, nn

from lightning_cv.errors import UserError

STRIDE = 8


class DilatedFeatures(nn.Module):
    """The last two feature maps of a network, both at stride 8: convolutions reach further instead (row 214).

    Args:
        name: `small` (of this library, to be trained from scratch), `resnet50`, `resnet101`, ... of torchvision, or
            `timm/` and the name of a network of timm that takes `output_stride`.
        weights: of torchvision: `DEFAULT` or `IMAGENET1K_V1` ...; of timm `DEFAULT`; None: drawn. They are downloaded.

    Attributes:
        channels: of the two maps.

    Raises:
        UserError: no such network or weights, or it has no maps at this stride.
    """

    def __init__(self, name: str = "small", *, weights: str | None = None) -> None:
        super().__init__()
        if name.startswith("timm/"):
            self.body, self.channels = _of_timm(name.removeprefix("timm/"), weights)
        elif name == "small":
            if weights is not None:
                raise UserError(f"backbone weights: {weights} given for small, which has none; allowed: null")
            self.body, self.channels = (
                _Stages([_small_begin(), _small_stage(64, 96, 2), _small_stage(96, 128, 4)]),
                (96, 128),
            )
        else:
            self.body, self.channels = _of_torchvision(name, weights)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to two maps (B, channels, H / 8, W / 8)."""
        *_, before, last = self.body(images)
        return before, last


class _Stages(nn.Module):
    """What each of several modules behind each other gives."""

    def __init__(self, stages: list[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _convolution(into: int, out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(into, out, 3, stride, padding=dilation, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _small_begin() -> nn.Sequential:
    widths = (3, 16, 32, 64)
    pairs = pairwise(widths)
    return nn.Sequential(*(_convolution(into, out, stride=2) for into, out in pairs))


def _small_stage(into: int, out: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(_convolution(into, out, dilation=dilation), _convolution(out, out, dilation=dilation))


def _of_torchvision(name: str, weights: str | None) -> tuple[nn.Module, tuple[int, int]]:
    try:
        chosen = None if weights is None else torchvision.models.get_model_weights(name)[weights]
        dilation = [False, True, True]
        network = torchvision.models.get_model(name, weights=chosen, replace_stride_with_dilation=dilation)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"backbone: {name} with weights {weights}: {error}; allowed: small, resnet50, resnet101, resnet152, "
            "resnext50_32x4d and their like of torchvision, timm/NAME"
        ) from error
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    stages = _Stages([nn.Sequential(stem, network.layer1, network.layer2), network.layer3, network.layer4])
    return stages, (network.layer4[0].conv1.in_channels, network.fc.in_features)


def _of_timm(name: str, weights: str | None) -> tuple[nn.Module, tuple[int, int]]:
    if weights not in (None, "DEFAULT"):
        raise UserError(f"backbone weights: {weights} given for timm, allowed: DEFAULT, null")
    try:
        network = timm.create_model(name, pretrained=weights is not None, features_only=True, output_stride=STRIDE)
    except (RuntimeError, AttributeError, ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"backbone: timm/{name}: {' '.join(str(error).split())}") from error
    strides, channels = network.feature_info.reduction(), network.feature_info.channels()  # type: ignore[operator, union-attr]
    if strides[-2:] != [STRIDE, STRIDE]:
        raise UserError(
            f"backbone: timm/{name} has feature maps at strides {strides}, allowed: the last two at {STRIDE}"
        )
    return network, (channels[-2], channels[-1])
