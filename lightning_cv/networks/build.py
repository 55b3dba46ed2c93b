"""How does a recipe name a network whose options the recipe's parser cannot read?"""

from collections.abc import Callable
from typing import Any

from torch import nn

from lightning_cv.errors import UserError


def build_network(factory: type[nn.Module] | Callable[..., Any], **options: Any) -> nn.Module:
    """Call a class or function with the options as they stand.

    The recipe's parser reads the signature of what a `class_path` names, and stumbles over some: a default that is
    a `functools.partial` (timm's `MlpMixer`), or an option given by position inside (torchvision's `swin_t`). Named
    as the `factory` here they are just called, and check their options themselves.

    Args:
        factory: dotted path of what makes the network; what a recipe may name holds for it as everywhere.
        options: its keyword arguments.

    Raises:
        UserError: `factory` refuses the options, or makes no network.
    """
    try:
        network = factory(**options)
    except TypeError as error:
        raise UserError(f"build_network: {error}") from error
    if not isinstance(network, nn.Module):
        raise UserError(
            f"build_network: factory makes a {type(network).__name__}; allowed: what makes a torch.nn.Module"
        )
    return network
