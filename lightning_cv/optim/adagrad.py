"""How does AdaGrad step where epsilon stands inside the root?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class AdagradInnerEps(Optimizer):
    """AdaGrad as courses write it: s += g², w -= lr · g / √(s + eps) (row 24).

    `torch.optim.Adagrad` divides by √s + eps. The two agree for a small eps; with a large one, which keeps the first
    steps of small gradients small, they do not.

    Args:
        params: parameters, or groups of them.
        lr: rate, above 0.
        eps: added to the sum of squares, 0 or more.
        weight_decay: factor of the L2 gradient, 0 or more.

    Raises:
        ValueError: a value outside its range.

    Source: Duchi, Hazan, Singer: Adaptive Subgradient Methods, 2011.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value, allowed in (
            ("lr", lr, lr > 0),
            ("eps", eps, eps >= 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not allowed:
                raise ValueError(f"{name} is {value}; allowed: {'above 0' if name == 'lr' else '0 or more'}")
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure, if there is one, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, group)
        return loss

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients: list[Any] = [weight.grad for weight in weights]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["sum"] = torch.zeros_like(weight)
        sums = [self.state[weight]["sum"] for weight in weights]
        torch._foreach_addcmul_(sums, gradients, gradients)
        roots = torch._foreach_add(sums, group["eps"])
        torch._foreach_sqrt_(roots)
        for root in roots if not group["eps"] else ():
            root[root == 0] = 1  # no gradient ever: no step
        torch._foreach_addcdiv_(weights, gradients, roots, value=-float(group["lr"]))
