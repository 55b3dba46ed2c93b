"""How does any image network become one that gives its feature maps at strides 4, 8, 16 and 32?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from lightning_cv.errors import UserError

STRIDES = (4, 8, 16, 32)
Norm = Literal["batch", "frozen", "group"]
_PROBE_PX = 64
_GROUPS = 8


class FeatureMaps(nn.Module):
    """Four feature maps of an image, each half as large as the one before (rows 141, 195).

    Args:
        name: `small` (four stages of this library, to be trained from scratch), the name of a network of torchvision
            (`resnet50`, `swin_t`, `mobilenet_v3_large`, ...), or `timm/` and the name of one of timm.
        weights: of torchvision: `DEFAULT` or `IMAGENET1K_V1` ...; of timm `DEFAULT`; None: drawn. They are downloaded.
        norm: what stands in place of batch norms: `batch`, `frozen` (fixed statistics, scales and shifts, as with
            weights from ImageNet and few images a device), or `group`.
        trainable_stages: 0 to 5; the first ones, of the stem and the four stages, stay as they are.

    Attributes:
        channels: of the four maps.

    Raises:
        UserError: no such network or weights, or it has no maps at these strides.
    """

    def __init__(
        self, name: str = "small", *, weights: str | None = None, norm: Norm = "batch", trainable_stages: int = 5
    ) -> None:
        super().__init__()
        if not 0 <= trainable_stages <= len(STRIDES) + 1:
            raise UserError(f"trainable_stages: {trainable_stages} given, allowed: 0 to {len(STRIDES) + 1}")
        self.body = _body(name, weights)
        _exchange_norms(self, norm)
        self._freeze(name, trainable_stages)
        self.channels = tuple(feature_map.shape[1] for feature_map in self._probe(name))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) to maps (B, channels, H / stride, W / stride) at strides 4, 8, 16, 32."""
        maps: list[Tensor] = self.body(images)
        return maps

    def without_stages_beyond(self, level: int) -> FeatureMaps:
        """Itself without what only deeper maps than that of `level`, from 0, need: it would train nothing.

        Of a network of timm it stays, and is frozen.
        """
        if isinstance(self.body, _Chain):
            self.body.stages = self.body.stages[: level + 2]
            self.channels = self.channels[: level + 1]
            return self
        trained = [p for p in self.parameters() if p.requires_grad]
        with torch.enable_grad():
            used = sum(feature_map.sum() for feature_map in self(torch.zeros(2, 3, _PROBE_PX, _PROBE_PX))[: level + 1])
            grads = torch.autograd.grad(used, trained, allow_unused=True)
        for parameter, grad in zip(trained, grads, strict=True):
            parameter.requires_grad_(grad is not None)
        return self

    def _freeze(self, name: str, trainable_stages: int) -> None:
        if isinstance(self.body, _Chain):
            for stage in self.body.stages[: len(self.body.stages) - trainable_stages]:
                stage.requires_grad_(False)
        elif trainable_stages not in (0, len(STRIDES) + 1):
            raise UserError(f"trainable_stages: {trainable_stages} given for {name}, allowed: 0 (none), 5 (all)")
        elif trainable_stages == 0:
            self.body.requires_grad_(False)

    @torch.no_grad()
    def _probe(self, name: str) -> list[Tensor]:
        maps = self.eval()(torch.zeros(1, 3, _PROBE_PX, _PROBE_PX))
        self.train()
        if [_PROBE_PX // feature_map.shape[-1] for feature_map in maps] != list(STRIDES):
            raise UserError(f"backbone: {name} has no feature maps at strides {STRIDES}")
        return maps


class _Chain(nn.Module):
    """A stem and four stages behind each other; with `channels_stand_last` they pass on (B, H, W, C)."""

    def __init__(self, stages: list[nn.Module], *, channels_stand_last: bool = False) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self._channels_stand_last = channels_stand_last

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stages[0](images)
        maps = []
        for stage in self.stages[1:]:
            x = stage(x)
            maps.append(x.permute(0, 3, 1, 2).contiguous() if self._channels_stand_last else x)
        return maps


class _OfTimm(nn.Module):
    """The maps of a timm network that are wanted."""

    def __init__(self, network: nn.Module, places: list[int]) -> None:
        super().__init__()
        self.network = network
        self._places = places

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.network(images)
        return [maps[place] for place in self._places]


def _body(name: str, weights: str | None) -> nn.Module:
    if name.startswith("timm/"):
        return _of_timm(name.removeprefix("timm/"), weights)
    if name != "small":
        return _of_torchvision(name, weights)
    if weights is not None:
        raise UserError(f"backbone weights: {weights} given for small, which has none; allowed: null")
    return _small()


def _small() -> _Chain:
    """A stem and four stages of two convolutions each."""

    def convolution(into: int, out: int, stride: int = 1) -> nn.Sequential:
        layer = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True))

    widths = (32, 64, 96, 128)
    stages: list[nn.Module] = [convolution(3, 16, stride=2)]
    into = 16
    for width in widths:
        stages.append(nn.Sequential(convolution(into, width, stride=2), convolution(width, width)))
        into = width
    return _Chain(stages)


def _of_timm(name: str, weights: str | None) -> _OfTimm:
    if weights not in (None, "DEFAULT"):
        raise UserError(f"backbone weights: {weights} given for timm, allowed: DEFAULT, null")
    try:
        network = timm.create_model(name, pretrained=weights is not None, features_only=True)
    except (RuntimeError, AttributeError, ValueError) as error:
        raise UserError(f"backbone: timm/{name}: {' '.join(str(error).split())}") from error
    told: Any = network.feature_info  # no module, whatever torch says of attributes
    reductions = told.reduction()
    if not set(STRIDES) <= set(reductions):
        raise UserError(f"backbone: timm/{name} has feature maps at strides {reductions}, allowed: {list(STRIDES)}")
    return _OfTimm(network, [reductions.index(stride) for stride in STRIDES])


def _of_torchvision(name: str, weights: str | None) -> _Chain:
    try:
        chosen = None if weights is None else torchvision.models.get_model_weights(name)[weights]
        network = torchvision.models.get_model(name, weights=chosen)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"backbone: {name} with weights {weights}: {error}; allowed: small, names of torchvision.models, timm/NAME"
        ) from error
    if isinstance(network, torchvision.models.ResNet):
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        return _Chain([stem, network.layer1, network.layer2, network.layer3, network.layer4])
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Sequential):
        raise UserError(f"backbone: {name} of torchvision is not made of stages; try timm/{name}")
    return _divided(name, features, last=isinstance(network, torchvision.models.SwinTransformer))


def _divided(name: str, layers: nn.Sequential, *, last: bool) -> _Chain:
    """A chain of layers in five parts: up to stride 2, and from there to the last map of each stride."""
    ends: dict[int, int] = {}
    x = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX)
    with torch.no_grad():
        for number, layer in enumerate(layers.eval()):
            x = layer(x)
            ends[_PROBE_PX // (x.shape[1] if last else x.shape[-1])] = number + 1
    layers.train()
    if not set(STRIDES) <= ends.keys():
        raise UserError(f"backbone: {name} has feature maps at strides {sorted(ends)}, allowed: {list(STRIDES)}")
    children = list(layers)
    bounds = [0, ends.get(2, 0), *(ends[stride] for stride in STRIDES)]
    parts: list[nn.Module] = [nn.Sequential(*children[a:b]) for a, b in pairwise(bounds)]
    return _Chain(parts, channels_stand_last=last)


def _exchange_norms(network: nn.Module, norm: Norm) -> None:
    """Put another kind of norm in place of every batch norm."""
    if norm == "batch":
        return
    make: Callable[[nn.BatchNorm2d], nn.Module] = _frozen if norm == "frozen" else _grouped
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, make(child))


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    frozen = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    state = {name: value for name, value in norm.state_dict().items() if name != "num_batches_tracked"}
    frozen.load_state_dict(state)
    return frozen


def _grouped(norm: nn.BatchNorm2d) -> nn.Module:
    channels = norm.num_features
    return nn.GroupNorm(next(g for g in range(min(_GROUPS, channels), 0, -1) if channels % g == 0), channels)
