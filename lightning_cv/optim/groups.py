"""Which parameters share a weight decay and a learning rate, and how is their optimizer made?"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_cv.errors import UserError

# What the papers of vision transformers leave undecayed beside norms and biases, by name.
_TOKENS_AND_POSITIONS = (
    "cls_token",
    "class_token",
    "dist_token",
    "reg_token",
    "pos_embed",
    "pos_embedding",
    "position_embedding",
    "relative_position_bias_table",
    "rel_pos",
)


def build_optimizer(
    network: nn.Module,
    optimizer: Callable[[list[dict[str, Any]]], Optimizer],
    *,
    head: nn.Module | None,
    decay_norm_and_bias: bool = False,
    backbone_lr_factor: float = 1.0,
) -> Optimizer:
    """Make the optimizer of all trainable parameters, in as few groups as the settings need.

    Weight decay is what the optimizer makes of it: SGD adds the L2 gradient, AdamW decouples it. The two are
    the same for SGD without momentum only; with momentum, as for every adaptive method, they differ (row 27).

    Args:
        network: what is trained; frozen parameters are left out.
        optimizer: makes the optimizer from parameter groups, e.g. `functools.partial(AdamW, lr=1e-3)`.
        head: the layer that gives the class scores; needed only where `backbone_lr_factor` is not 1.
        decay_norm_and_bias: whether norms, biases, tokens and position embeddings decay like weights.
        backbone_lr_factor: what the base rate of everything but the head is multiplied by; 0 keeps it as it is.

    Raises:
        UserError: nothing to train, a factor that is negative or without a head, or arguments that the
            optimizer refuses.
    """
    if not backbone_lr_factor >= 0:
        raise UserError(f"backbone_lr_factor is {backbone_lr_factor}; allowed: 0 or more")
    if head is None and backbone_lr_factor != 1.0:
        raise UserError(f"backbone_lr_factor is {backbone_lr_factor}, but the network has no head; allowed: 1.0")
    split_head = head if backbone_lr_factor != 1.0 else None
    groups = parameter_groups(network, head=split_head, decay_norm_and_bias=True)
    built = _call(optimizer, groups)
    if not decay_norm_and_bias and built.defaults.get("weight_decay", 0):
        built = _call(optimizer, parameter_groups(network, head=split_head, decay_norm_and_bias=False))
    for group in built.param_groups:
        if group["name"].startswith("backbone"):
            group["lr"] = group["lr"] * backbone_lr_factor
    return built


def parameter_groups(network: nn.Module, *, head: nn.Module | None, decay_norm_and_bias: bool) -> list[dict[str, Any]]:
    """Sort the trainable parameters into groups for any optimizer of torch; each stands in exactly one.

    Args:
        network: whose parameters are sorted; frozen ones are left out.
        head: a part of the network that gets groups of its own; None for none.
        decay_norm_and_bias: whether norms, biases, tokens and position embeddings decay like weights.

    Returns:
        Dicts with `params`, `name` and, for a group that must not decay, `weight_decay: 0.0`. Names are
        `network`, or `backbone` and `head`, with `_no_decay` after those of undecayed groups.
    """
    in_head = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    undecayed = set() if decay_norm_and_bias else set(_undecayed(network))
    groups: dict[str, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            name = "network" if head is None else "head" if id(parameter) in in_head else "backbone"
            name += "_no_decay" if id(parameter) in undecayed else ""
            groups.setdefault(name, []).append(parameter)
    if not groups:
        raise UserError("network: no parameter is trainable; allowed: at least one that is not frozen")
    return [
        {"params": params, "name": name} | ({"weight_decay": 0.0} if name.endswith("_no_decay") else {})
        for name, params in sorted(groups.items())
    ]


def _undecayed(network: nn.Module) -> Iterator[int]:
    """Identities of norm parameters, all with at most one dimension, tokens and position embeddings."""
    named_by_network: set[str] = set(getattr(network, "no_weight_decay", set)())  # timm's convention
    for path, module in network.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            full_name = f"{path}.{name}" if path else name
            if is_norm or _is_small(full_name, parameter) or full_name in named_by_network:
                yield id(parameter)


def _is_small(name: str, parameter: Tensor) -> bool:
    own_name = name.removesuffix(".weight").rsplit(".", 1)[-1]
    return parameter.ndim <= 1 or own_name.startswith(_TOKENS_AND_POSITIONS)


def _call(optimizer: Callable[[list[dict[str, Any]]], Optimizer], groups: list[dict[str, Any]]) -> Optimizer:
    """Build, with the optimizer's own refusal as a user's mistake."""
    try:
        return optimizer(groups)
    except ValueError as error:
        raise UserError(f"model.init_args.optimizer: {error}") from error
