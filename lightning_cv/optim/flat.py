"""How are all parameters of an optimizer one vector?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class FlatOptimizer(Optimizer):
    """An optimizer that needs all parameters, and the loss as a function of them, as one vector.

    Args:
        params: parameters, or groups of them; all get one rate.
        lr: rate, above 0.
        max_parameters: more are refused, since time and memory grow faster than their number.
        defaults: further options.

    Raises:
        ValueError: a rate that is not above 0, or too many parameters.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, max_parameters: int, **defaults: float
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr is {lr}; allowed: above 0")
        super().__init__(params, {"lr": lr, **defaults})
        self._flat = [weight for group in self.param_groups for weight in group["params"]]
        number = sum(weight.numel() for weight in self._flat)
        if number > max_parameters:
            name = type(self).__name__
            raise ValueError(
                f"{name} is for up to max_parameters, {max_parameters}; the network has {number} parameters"
            )

    def values(self) -> Tensor:
        """All parameters, (N,); a copy."""
        return torch.cat([weight.detach().flatten() for weight in self._flat])

    def gradient(self) -> Tensor:
        """Their gradients, (N,); 0 where there is none."""
        parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._flat]
        return torch.cat([part.flatten() for part in parts]).clone()

    @torch.no_grad()
    def set_values(self, values: Tensor) -> None:
        """Write (N,) into the parameters."""
        for weight, part in zip(self._flat, values.split([weight.numel() for weight in self._flat]), strict=True):
            weight.copy_(part.view_as(weight))

    def evaluate(self, closure: Callable[[], Any], values: Tensor) -> tuple[Any, Tensor]:
        """The loss and its gradient (N,) at other values of the parameters, which stay set."""
        self.set_values(values)
        with torch.enable_grad():
            loss = closure()
        return loss, self.gradient()
