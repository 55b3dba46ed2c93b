"""What does a network cost: parameters, memory and multiply-adds, layer by layer?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Layer:
    """One layer in the order of its first call.

    Args:
        name: dotted path in the network; empty: the network itself, where it has parameters of its own.
        kind: its class.
        output: shapes of its tensors for one image, without the batch.
        parameters: those that no layer within it holds; shared ones are counted with the first.
        macs: multiply-adds of its products and convolutions; of the layers within it those that are counted there.
        output_bytes: of what it gives, in the precision of the network.
    """

    name: str
    kind: str
    output: tuple[tuple[int, ...], ...]
    parameters: int
    macs: int
    output_bytes: int


@dataclass(frozen=True)
class Account:
    """What one image costs in a forward pass.

    Args:
        layers: those that have no layers within them, or parameters of their own.
        parameters: of the network, shared ones once.
        trainable: of these what is not frozen.
        parameter_bytes: their memory; buffers are not counted.
        macs: multiply-adds of all products and convolutions; a FLOP counter gives twice as many. What biases, norms,
            activations and pooling compute is not counted.
        activation_bytes: of all layers' outputs, about what a backward pass keeps.
    """

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    macs: int
    activation_bytes: int


def account(network: nn.Module, image: Tensor) -> Account:
    """Run a network once, as in prediction, and count (rows 67, 68).

    Args:
        network: takes images (B, C, H, W); left as it was.
        image: one of these, (1, C, H, W).
    """
    outputs: dict[str, list[Tensor]] = {}
    names = {module: name for name, module in network.named_modules()}
    counter = FlopCounterMode(display=False)
    # With gradients attention takes no shortcut that the counter does not know.
    with _evaluated(network), _recorded(names, outputs), counter, torch.enable_grad():
        network(image)
    counts = counter.get_flop_counts()
    flops = {_name_in(path, network): sum(by_kind.values()) for path, by_kind in counts.items() if path != "Global"}
    owned = _owned(network, outputs)
    layers = [_layer(network, name, outputs, flops=flops, parameters=owned[name]) for name in outputs]
    kept = tuple(layer for layer in layers if layer is not None)
    parameters = list(network.parameters())
    return Account(
        layers=kept,
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        parameter_bytes=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        macs=counter.get_total_flops() // 2,
        activation_bytes=sum(layer.output_bytes for layer in kept),
    )


def _owned(network: nn.Module, called: Mapping[str, object]) -> Counter[str]:
    """Parameters of each module that was called, with those of parts of it that were not; shared ones count once."""
    owned: Counter[str] = Counter()
    for path, parameter in network.named_parameters():
        name = path.rpartition(".")[0]
        while name and name not in called:
            name = name.rpartition(".")[0]
        owned[name] += parameter.numel()
    return owned


def _layer(
    network: nn.Module, name: str, outputs: Mapping[str, list[Tensor]], *, flops: Mapping[str, int], parameters: int
) -> Layer | None:
    """The layer of a module; None of one that only puts others together."""
    module, prefix = network.get_submodule(name), f"{name}." if name else ""
    if not parameters and any(other.startswith(prefix) and other != name for other in outputs):
        return None
    within = sum(flops.get(prefix + child, 0) for child, _ in module.named_children())
    return Layer(
        name=name,
        kind=type(module).__name__,
        output=tuple(tuple(tensor.shape[1:]) for tensor in outputs[name]),
        parameters=parameters,
        macs=(flops.get(name, 0) - within) // 2,
        output_bytes=sum(tensor.numel() * tensor.element_size() for tensor in outputs[name]),
    )


def _name_in(path: str, network: nn.Module) -> str:
    """`ResNet.layer1.0` of the counter as the network's own `layer1.0`."""
    return path.removeprefix(type(network).__name__).removeprefix(".")


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    """Dropout and statistics of batches off; every part is put back into the mode that it had."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _recorded(names: dict[nn.Module, str], outputs: dict[str, list[Tensor]]) -> Iterator[None]:
    """Note what each module gives when it is first called."""

    def note(module: nn.Module, _: Any, output: Any) -> None:
        outputs.setdefault(names[module], [tensor.detach() for tensor in _tensors(output)])

    handles = [module.register_forward_hook(note) for module in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, list | tuple) else []
