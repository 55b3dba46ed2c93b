"""In which order do the values of weights, images and optimizer states lie in memory?

With the channels last, a pixel's channels lie side by side (NHWC), which is what the matrix units of recent GPUs
and CPUs take; shapes and values stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def put_channels_last(network: nn.Module) -> None:
    """Lay out the 4-D weights of a network, and each 4-D input that it is given from now on, channels last."""
    network.to(memory_format=torch.channels_last)
    if _inputs_channels_last not in network._forward_pre_hooks.values():  # a copied network has it already
        network.register_forward_pre_hook(_inputs_channels_last)


def put_contiguous(network: nn.Module) -> None:
    """Undo `put_channels_last`."""
    for key, hook in list(network._forward_pre_hooks.items()):
        if hook is _inputs_channels_last:
            del network._forward_pre_hooks[key]
    network.to(memory_format=torch.contiguous_format)


def lay_out_states(optimizer: Optimizer) -> None:
    """Lay out the states of an optimizer as the weights that they belong to.

    A checkpoint brings them back as they were laid out when it was written. Fused optimizers then update each
    weight with another one's state, in silence (torch 2.15 on a CPU).
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and _differs_in_layout(value, parameter):
                state[name] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def _differs_in_layout(value: Tensor, parameter: Tensor) -> bool:
    strided = value.layout is parameter.layout is torch.strided
    return strided and value.shape == parameter.shape and value.stride() != parameter.stride()


def _inputs_channels_last(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG001
    return tuple(
        value.contiguous(memory_format=torch.channels_last) if isinstance(value, Tensor) and value.dim() == 4 else value
        for value in inputs
    )
