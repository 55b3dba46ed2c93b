"""What is Newton's method, for a network small enough?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lightning_cv.optim.flat import FlatOptimizer


class Newton(FlatOptimizer):
    """w -= lr · |H|⁻¹ g with the whole Hessian H: O(N²) memory, O(N³) time, 2 N gradients a step (row 28).

    Column i of H is the central difference of the gradient along parameter i, since that needs nothing of the loss but
    its gradient; it is exact for a quadratic, which one step solves. Directions of negative curvature are descended
    too: |H| has the magnitudes of H's eigenvalues, each at least `damping` (Dauphin et al. 2014, saddle-free Newton).
    It needs the whole training set in each batch, and a network without dropout.

    Args:
        params: parameters, or groups of them.
        lr: rate; 1 is the full step.
        damping: least curvature that a step counts on, above 0: the step along a flat direction is g / damping.
        max_parameters: a larger network is refused.

    Raises:
        ValueError: a value outside its range, or too many parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        damping: float = 1e-3,
        max_parameters: int = 2000,
    ) -> None:
        if not damping > 0:
            raise ValueError(f"damping is {damping}; allowed: above 0")
        super().__init__(params, lr, max_parameters, damping=damping)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure returns at the weights before it."""
        assert closure is not None, "Lightning hands it over"
        here = self.values()
        loss, gradient = self.evaluate(closure, here)
        hessian = self._hessian(closure, here)
        group = self.param_groups[0]
        curvatures, directions = torch.linalg.eigh(hessian)
        along = directions.T @ gradient / curvatures.abs().clamp_min(group["damping"])
        self.set_values(here - group["lr"] * (directions @ along))
        return loss

    def _hessian(self, closure: Callable[[], Any], here: Tensor) -> Tensor:
        # The third root of the precision is where rounding and curvature of third order cost the same.
        width = torch.finfo(here.dtype).eps ** (1 / 3) * here.abs().clamp_min(1.0)
        columns = []
        for place in range(len(here)):
            shift = torch.zeros_like(here)
            shift[place] = width[place]
            _, ahead = self.evaluate(closure, here + shift)
            _, behind = self.evaluate(closure, here - shift)
            columns.append((ahead - behind) / (2 * width[place]))
        hessian = torch.stack(columns, dim=1)
        return (hessian + hessian.T) / 2
