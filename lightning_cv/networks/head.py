"""Which layer of a classifier gives the class scores, and how does it start or change its classes?"""

from typing import Any

from torch import nn

from lightning_cv.errors import UserError

_SCORING = (nn.Linear, nn.Conv2d)


def find_head(network: nn.Module) -> nn.Module:
    """Return the layer that gives the class scores: a linear layer, or a convolution as in SqueezeNet.

    It is the last of those in what the network's `get_classifier()` returns (timm's convention, which a
    network of your own may follow), else the last that the network registers, as in all of torchvision.

    Raises:
        UserError: there is none.
    """
    return find_heads(network)[0]


def find_heads(network: nn.Module) -> list[nn.Module]:
    """Return every layer that gives class scores: the head first, then a second or auxiliary ones.

    Second heads are those of distilled transformers (`get_classifier()` returns several); auxiliary ones
    stand in a child whose name starts with `aux` (GoogLeNet, Inception).

    Raises:
        UserError: there is none.
    """
    get_classifier = getattr(network, "get_classifier", None)
    parts = get_classifier() if callable(get_classifier) else network
    heads = [_last_scoring(part) for part in (parts if isinstance(parts, tuple | list) else [parts])]
    if not heads or None in heads:
        raise UserError(
            f"network: {type(network).__name__} has no classification head; allowed: a network with "
            "num_classes above 0 whose scores come from a Linear or Conv2d layer"
        )
    auxiliary = [_last_scoring(child) for name, child in network.named_children() if name.lower().startswith("aux")]
    found = [head for head in [*heads, *auxiliary] if head is not None]
    return list(dict.fromkeys(found))


def num_classes(network: nn.Module) -> int | None:
    """Return the number of class scores that the network gives; None if it has no head and does not say so.

    One without a head, such as k nearest neighbours, says it in an attribute `num_classes`.
    """
    try:
        return _width(find_head(network))
    except UserError:
        stated = getattr(network, "num_classes", None)
        return stated if isinstance(stated, int) and stated > 0 else None


def start_head(network: nn.Module, std: float = 1e-3) -> None:
    """Draw every head anew so that the first loss is that of equal scores, ln C for cross-entropy (row 124).

    Library heads start too wide: resnet50 at 1.09 ln C, timm's mobilenetv1 at 1.76 ln C. Zero weights would
    be dead where a ReLU follows the head (SqueezeNet), hence a small normal distribution.

    Args:
        network: changed in place; its weights are drawn from torch's default generator, its biases are 0.
        std: standard deviation of the weights, > 0.
    """
    if not std > 0:
        raise UserError(f"head start: std is {std}; allowed: above 0")
    for head in find_heads(network):
        assert isinstance(head, _SCORING)
        nn.init.normal_(head.weight, std=std)
        if head.bias is not None:
            nn.init.zeros_(head.bias)


def with_new_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Give a network fresh heads for other classes, which is how fine-tuning starts.

    Pretrained networks of torchvision refuse any `num_classes` but their own, so they are built with theirs
    and changed here.

    Args:
        network: changed in place and returned; all but its heads keeps its weights.
        num_classes: number of class scores, 1 or more.
    """
    if num_classes < 1:
        raise UserError(f"num_classes is {num_classes}; allowed: 1 or more")
    heads = {id(head) for head in find_heads(network)}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in heads:
                setattr(parent, name, _like(child, num_classes))
    if isinstance(getattr(network, "num_classes", None), int):
        setattr(network, "num_classes", num_classes)  # noqa: B010 - torch declares no such attribute
    return network


def _last_scoring(part: nn.Module) -> nn.Module | None:
    main = [module for name, module in part.named_modules() if not name.lower().startswith("aux")]
    return next((module for module in reversed(main) if isinstance(module, _SCORING)), None)


def _width(head: nn.Module) -> int:
    assert isinstance(head, _SCORING)
    return head.out_features if isinstance(head, nn.Linear) else head.out_channels


def _like(head: nn.Module, num_classes: int) -> nn.Module:
    """Return a fresh layer in the place of `head`, on its device and with its dtype."""
    assert isinstance(head, _SCORING)
    common: dict[str, Any] = {
        "bias": head.bias is not None,
        "device": head.weight.device,
        "dtype": head.weight.dtype,
    }
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, num_classes, **common)
    geometry: dict[str, Any] = {"stride": head.stride, "padding": head.padding, "dilation": head.dilation}
    kernel: Any = head.kernel_size
    return nn.Conv2d(head.in_channels, num_classes, kernel, **geometry, **common)
