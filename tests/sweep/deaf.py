"""An optimizer that a recipe of a trial may name, and that does not do as it is told."""

from __future__ import annotations

import torch


class DeafSgd(torch.optim.SGD):
    """Takes a learning rate and trains with another."""

    def __init__(self, params, lr: float = 0.1) -> None:
        super().__init__(params, lr=0.25)
