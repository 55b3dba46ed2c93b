"""What does a person look at to see whether a network uses its codes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_cv.pictures.code_use import code_use_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from lightning_cv.contracts import Batch, HasCodes, Showing


class CodeUse:
    """How often each code occurs in an evaluated set, by grid (rows 244, 245)."""

    def __init__(self, network: HasCodes, showing: Showing) -> None:
        self._num_codes = network.num_codes
        self._showing = showing
        self._counts: list[Tensor] = []

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Count the codes of one batch."""
        counts = [torch.bincount(grid.flatten(), minlength=self._num_codes) for grid in outputs["predictions"].codes]
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)] if self._counts else counts

    def take(self) -> list[Tensor]:
        """(K,) int64 of each grid, on the CPU; none where no image was seen."""
        return [counts.cpu() for counts in self._counts]

    def draw(self, taken: Sequence[list[Tensor]]) -> dict[str, Image]:
        """The picture `codes`."""
        known = [part for part in taken if part]
        if not known:
            return {}
        counts = [torch.stack(grids).sum(0) for grids in zip(*known, strict=True)]
        return {"codes": code_use_picture(counts, f"{self._showing.title}: how often each code is used")}
