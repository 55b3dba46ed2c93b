"""What does one row of a W&B history say about where training stood?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_cv.compare.run import Curve

TRAINER_STEP = "trainer/global_step"
_AXES = (TRAINER_STEP, "epoch")


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        step: the trainer's optimizer step, or else the number of the row.
        of_trainer: whether it is the trainer's.
        epoch: from 0; NaN if the row does not say.
        time_s: seconds since the run began.
        metrics: name to number; "NaN", "Infinity" and "-Infinity" count as such, everything else is left out.
    """

    step: int
    of_trainer: bool
    epoch: float
    time_s: float
    metrics: dict[str, float]

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Row | None:
        """The row; None if it holds no metric."""
        numbers = {name: number for name, value in item.items() if (number := _number(value)) is not None}
        metrics = {name: value for name, value in numbers.items() if not name.startswith("_") and name not in _AXES}
        if not metrics:
            return None
        step = numbers.get(TRAINER_STEP, numbers.get("_step", 0))
        return cls(
            step=int(step) if math.isfinite(step) else 0,
            of_trainer=TRAINER_STEP in numbers,
            epoch=numbers.get("epoch", math.nan),
            time_s=numbers.get("_runtime", math.nan),
            metrics=metrics,
        )

    def shifted(self, *, steps: int, time_s: float) -> Row:
        """The same row of a run that had gone on this long before."""
        return dataclasses.replace(self, step=self.step + steps, time_s=self.time_s + time_s)


def curves_of_rows(rows: Sequence[Row]) -> dict[str, Curve]:
    """The curves that rows in their order tell of; W&B does not know the number of samples."""
    by_metric: dict[str, list[Row]] = {}
    for row in rows:
        for name in row.metrics:
            by_metric.setdefault(name, []).append(row)
    return {
        name: Curve(
            steps=[row.step for row in chosen],
            epochs=[row.epoch for row in chosen],
            samples=[math.nan] * len(chosen),
            times_s=[row.time_s for row in chosen],
            values=[row.metrics[name] for row in chosen],
        )
        for name, chosen in by_metric.items()
    }


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
