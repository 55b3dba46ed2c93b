"""What is the mean of every named value over all samples, without stopping the device at each step?"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_cv.ops.processes import gather


class SampleMeans:
    """Collects named batch means on the device and averages them over samples when asked.

    `add` only keeps references to detached scalars (no kernel, no synchronization). `drain` reads them all
    in one transfer, so its cost is paid once per window. Sums run in Python floats (float64, exactly
    rounded by `math.fsum`), so that the mean of an epoch is the mean over its samples also when the last
    batch is ragged (row 8).
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._counts: list[int] = []
        self._totals: dict[str, float] = {}
        self._total_count = 0
        self._earlier: dict[str, list[float]] = {}  # of a resumed window: what was added before the checkpoint
        self._earlier_counts: list[int] = []

    def __len__(self) -> int:
        """Number of batches added since the last `drain`."""
        return len(self._earlier_counts) + len(self._counts)

    def add(self, name: str, value: Tensor) -> None:
        """Add the mean of one value, a scalar tensor, over the batch that `add_batch` announced last."""
        column = self._values.get(name)
        if column is None:
            column = self._values[name] = []
        column.append(value.detach())

    def add_batch(self, count: int) -> None:
        """Announce a batch of `count` samples; the following `add` calls belong to it."""
        self._counts.append(count)

    def drain(self) -> tuple[dict[str, list[float]], list[int]]:
        """Return every value since the last call, by name and batch, with the batches' sample counts.

        Their sums go into the running totals of `take_totals`.
        """
        rows, counts = self._rows()
        self._values, self._counts, self._earlier, self._earlier_counts = {}, [], {}, []
        for name, row in rows.items():
            total = math.fsum(value * count for value, count in zip(row, counts, strict=True))
            self._totals[name] = self._totals.get(name, 0.0) + total
        self._total_count += sum(counts)
        return rows, counts

    def take_totals(self) -> dict[str, tuple[float, int]]:
        """Return (sum over samples, number of samples) by name since the last call, and start again."""
        if len(self):
            self.drain()
        totals = {name: (total, self._total_count) for name, total in self._totals.items()}
        self._totals = {}
        self._total_count = 0
        return totals

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last call of `drain` and of `take_totals`; nothing is taken away."""
        rows, counts = self._rows()
        return {"rows": rows, "counts": counts, "totals": dict(self._totals), "total_count": self._total_count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on behind what another process had added."""
        self._values, self._counts = {}, []
        self._earlier, self._earlier_counts = dict(state_dict["rows"]), list(state_dict["counts"])
        self._totals, self._total_count = dict(state_dict["totals"]), state_dict["total_count"]

    def _rows(self) -> tuple[dict[str, list[float]], list[int]]:
        names = [*self._earlier, *(name for name in self._values if name not in self._earlier)]
        later = {name: _to_floats(column) for name, column in self._values.items()}
        rows = {name: [*self._earlier.get(name, []), *later.get(name, [])] for name in names}
        return rows, [*self._earlier_counts, *self._counts]


def mean_over_devices(totals: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    """Means over the samples of all processes from each one's (sum, count).

    A process that saw no sample may pass an empty mapping. Every process must call this.
    """
    parts = gather(dict(totals))
    names = sorted({name for part in parts for name in part})
    means = {}
    for name in names:
        pairs = [part[name] for part in parts if name in part]
        count = sum(count for _, count in pairs)
        means[name] = math.fsum(total for total, _ in pairs) / count if count else math.nan
    return means


def window_totals(rows: Mapping[str, list[float]], counts: list[int]) -> dict[str, tuple[float, int]]:
    """(sum over samples, number of samples) by name of what `drain` returned."""
    return {
        name: (math.fsum(value * count for value, count in zip(row, counts, strict=True)), sum(counts))
        for name, row in rows.items()
    }


def _to_floats(column: list[Tensor]) -> list[float]:
    floats: list[float] = torch.stack([value.reshape(()) for value in column]).double().tolist()
    return floats
