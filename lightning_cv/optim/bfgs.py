"""How is the inverse Hessian learned from the gradients that are seen anyway?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lightning_cv.optim.flat import FlatOptimizer

_SUFFICIENT = 1e-4  # Armijo: share of the descent promised by the slope that a step must bring
_MOST_TRIES = 20


class Bfgs(FlatOptimizer):
    """Quasi-Newton: an estimate B of the inverse Hessian, improved by each step; O(N²) time and memory (row 29).

    A step goes along -B g, as far as a parabola through the losses says (exact for a quadratic), and back by halves
    until the loss falls. B then satisfies the secant equation B y = s for the last step s and change of gradient y.
    It needs the whole training set in each batch, and a network without dropout.

    Args:
        params: parameters, or groups of them.
        lr: length of the first step along the gradient, above 0; later steps find theirs.
        max_parameters: a larger network is refused; `torch.optim.LBFGS` stores no matrix.

    Raises:
        ValueError: a rate that is not above 0, or too many parameters.

    Source: Nocedal and Wright: Numerical Optimization, 2006, eq. 6.17 and section 3.5.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float = 1.0, max_parameters: int = 5000
    ) -> None:
        super().__init__(params, lr, max_parameters)

    @property
    def inverse_hessian(self) -> Tensor:
        """B, (N, N); `lr` times the identity before the first step."""
        state = self.state[self._flat[0]]
        if "inverse_hessian" not in state:
            first = self.values()
            state["inverse_hessian"] = self.param_groups[0]["lr"] * torch.eye(len(first)).to(first)
        found: Tensor = state["inverse_hessian"]
        return found

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure returns at the weights before it."""
        assert closure is not None, "Lightning hands it over"
        here = self.values()
        loss, gradient = self.evaluate(closure, here)
        direction = -self.inverse_hessian @ gradient
        if direction @ gradient >= 0:  # rounding, or another batch: start anew along the gradient
            self.state[self._flat[0]].clear()
            direction = -self.inverse_hessian @ gradient
        length, changed = self._search(closure, (here, float(loss)), gradient, direction)
        self.set_values(here + length * direction)
        if length:
            self._learn(length * direction, changed - gradient)
        return loss

    def _search(
        self, closure: Callable[[], Any], start: tuple[Tensor, float], gradient: Tensor, direction: Tensor
    ) -> tuple[float, Tensor]:
        """How far to go, 0 if no step makes the loss smaller; and the gradient there."""
        here, loss = start
        slope = float(direction @ gradient)
        if not slope < 0:
            return 0.0, gradient
        tried, _ = self.evaluate(closure, here + direction)
        bend = 2 * (float(tried) - loss - slope)  # of the parabola through the loss, its slope, and the loss at 1
        length = -slope / bend if math.isfinite(bend) and bend > 0 else 1.0
        for _ in range(_MOST_TRIES):
            value, changed = self.evaluate(closure, here + length * direction)
            if float(value) <= loss + _SUFFICIENT * length * slope:
                return length, changed
            length /= 2
        return 0.0, gradient

    def _learn(self, step: Tensor, change: Tensor) -> None:
        """The nearest matrix to B that is symmetric and satisfies the secant equation."""
        curvature = step @ change
        if curvature <= 1e-10 * step.norm() * change.norm():
            return  # not convex along this step: B would lose its descent
        before = self.inverse_hessian
        left = torch.eye(len(step)).to(step) - torch.outer(step, change) / curvature
        self.state[self._flat[0]]["inverse_hessian"] = left @ before @ left.T + torch.outer(step, step) / curvature
