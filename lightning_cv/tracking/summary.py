"""What does the summary of a run say of its curves: the best of the one that counts, the range of the others?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from lightning_cv.tracking.segments import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping

AGGREGATES = ("min", "max", "last")
AXES = (STEP, "epoch")


class RunSummary:
    """Follows the values of a whole run, over every resume.

    W&B computes min, max and last by itself, but of the present part of a run only: `corrections` says
    what is true of the whole. The watched metric has its best value under its plain name.
    """

    def __init__(self) -> None:
        self.watched: str | None = None
        self._sign = 1.0
        self._best: float | None = None
        self._ranges: dict[str, list[float]] = {}

    def watch(self, name: str, mode: Literal["min", "max"]) -> None:
        """Keep the best of this metric: its least or its greatest value."""
        if name != self.watched or (mode == "max") != (self._sign > 0):
            self._best = None
        self.watched, self._sign = name, 1.0 if mode == "max" else -1.0

    def add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Take a row in; returns what the summary must say anew: a better best."""
        changed = {}
        for name, value in row.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or name in AXES:
                continue
            if not math.isfinite(value):
                continue
            if name == self.watched:
                if self._best is None or self._sign * value > self._sign * self._best:
                    self._best = changed[name] = value
                continue
            range_ = self._ranges.setdefault(name, [value, value, value])
            range_[:] = [min(range_[0], value), max(range_[1], value), value]
        return changed

    def whole(self) -> dict[str, Any]:
        """The summary of everything that was taken in."""
        ranges: dict[str, Any] = {
            name: dict(zip(AGGREGATES, range_, strict=True)) for name, range_ in self._ranges.items()
        }
        return ranges if self._best is None or self.watched is None else {**ranges, self.watched: self._best}


def define_curve(run: Any, name: str, value: Any, *, is_watched: bool) -> None:
    """Tell W&B once what a curve is plotted against, and what of it the summary gets."""
    if name in AXES:
        run.define_metric(name)
    elif is_watched:
        run.define_metric(name, step_metric=STEP, step_sync=True, summary="none")  # the best is written by hand
    elif isinstance(value, (int, float)):
        run.define_metric(name, step_metric=STEP, step_sync=True, summary=",".join(AGGREGATES))
