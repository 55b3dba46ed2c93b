"""How do named losses become the one that is trained?"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lightning_cv.errors import UserError


def check_weights(weights: Mapping[str, float], names: Iterable[str], of: str = "the recipe") -> None:
    """Refuse the weight of a loss that there is not.

    Raises:
        UserError: names it, and those that there are.
    """
    known = list(names)
    unknown = weights.keys() - known
    if unknown:
        raise UserError(f"model.init_args.loss_weights: {min(unknown)} is no loss of {of}; allowed: {', '.join(known)}")


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · loss, in float32; a loss without a weight counts once.

    Args:
        losses: scalars by name, one or more.
        weights: by name.
    """
    return torch.stack([(weights.get(name, 1.0) * value).float() for name, value in losses.items()]).sum()
