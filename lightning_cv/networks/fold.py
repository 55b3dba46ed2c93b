"""How does a network get rid of its batch norms once it is trained?"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from lightning_cv.errors import UserError


def fold_batch_norm(network: nn.Module, images: Tensor, *, tolerance: float = 1e-4) -> nn.Module:
    """A copy for evaluation whose batch norms are part of the layers before them: the same scores, less work (row 71).

    In evaluation a batch norm is linear. One that directly follows a convolution or linear layer is folded into it by
    torch.nn.utils.fusion; which one that is shows when images pass through. Others, behind an activation, stay.

    Args:
        network: stays as it is.
        images: (B, C, H, W), some images of the size that it takes; the scores of the copy are compared on them.
        tolerance: how much a score may differ, relative to the largest one.

    Raises:
        UserError: nothing to fold, or the copy scores differently: a layer's output is used beside its norm.
    """
    folded = copy.deepcopy(network).eval()
    with torch.no_grad():
        before = folded(images)
        pairs = _pairs(folded, images)
        if not pairs:
            raise UserError(f"{type(network).__name__} has no batch norm that directly follows a layer")
        for layer, norm in pairs:
            _replace(folded, layer, norm)
        after = folded(images)
    first, second = (scores[0] if isinstance(scores, tuple) else scores for scores in (before, after))
    if (first - second).abs().max() > tolerance * first.abs().max().clamp_min(1e-6):
        raise UserError(
            f"{type(network).__name__} cannot be folded: the output of a layer is used beside its batch norm"
        )
    return folded


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[str, str]]:
    """Names of the layers with the batch norms that take just what they give."""
    made: dict[int, tuple[str, Tensor]] = {}  # keeps the tensors alive, so that no address is used twice
    calls: dict[str, int] = {}
    found: list[tuple[str, str]] = []

    def remember(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor, name: str) -> None:
        calls[name] = calls.get(name, 0) + 1
        made[id(output)] = (name, output)

    def meet(_module: nn.Module, inputs: tuple[Tensor, ...], name: str) -> None:
        calls[name] = calls.get(name, 0) + 1
        if id(inputs[0]) in made:
            found.append((made[id(inputs[0])][0], name))

    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            hooks.append(module.register_forward_hook(partial(remember, name=name)))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(partial(meet, name=name)))
    network(images)
    for hook in hooks:
        hook.remove()
    return [(layer, norm) for layer, norm in found if calls[layer] == 1 and calls[norm] == 1]


def _replace(network: nn.Module, layer_name: str, norm_name: str) -> None:
    layer: Any = network.get_submodule(layer_name)
    norm: Any = network.get_submodule(norm_name)
    if norm.running_mean is None:
        return  # it normalizes by the batch, in evaluation too
    fused = fuse_linear_bn_eval(layer, norm) if isinstance(layer, nn.Linear) else fuse_conv_bn_eval(layer, norm)
    network.set_submodule(layer_name, fused)
    # timm's norms bring an activation along, which stays.
    kept = [getattr(norm, name) for name in ("drop", "act") if isinstance(getattr(norm, name, None), nn.Module)]
    network.set_submodule(norm_name, nn.Sequential(*kept) if kept else nn.Identity())
