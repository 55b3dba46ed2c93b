"""Which facts stand in the table, in which order, and how does each read?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.run import Run, duration
from lightning_cv.compare.settings import ABSENT, short_names, short_value
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint

Text = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """One fact on every run.

    Args:
        key: its name for programs and for `--sort`: a dotted path, `METRIC:best`, `METRIC:last`, `time_s`, ...
        label: its name for people.
        values: one for each run; None: unknown, or of no meaning for this run.
        texts: the same for people.
        folded: left out where people read, unless they ask for all.
        hidden: for programs only; it has no texts.
        best: index of the best run; None where there is no better or worse.
    """

    key: str
    label: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    folded: bool = False
    hidden: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Table:
    """The columns, and the runs in the order in which they are shown."""

    labels: tuple[str, ...]
    columns: tuple[Column, ...]

    def sorted(self, by: str, *, descending: bool = False) -> Table:
        """The same with the runs in another order; those without a value come last either way.

        Raises:
            UserError: there is no such column.
        """
        values = self.column(by).values
        known = [index for index, value in enumerate(values) if not _unknown(value)]
        numbers = all(isinstance(values[index], int | float) for index in known)
        known.sort(key=lambda index: values[index] if numbers else str(values[index]), reverse=descending)
        order = [*known, *(index for index in range(len(values)) if index not in known)]
        return Table(tuple(self.labels[index] for index in order), tuple(_reordered(c, order) for c in self.columns))

    def shown(self, *, all_keys: bool) -> list[Column]:
        """The columns that people see: those in which no run has anything are left out."""
        return [
            column
            for column in self.columns
            if not column.hidden and (all_keys or not column.folded) and any(text != ABSENT for text in column.texts)
        ]

    def column(self, name: str) -> Column:
        """The column of this key, label, or metric (its best value).

        Raises:
            UserError: there is none.
        """
        for column in self.columns:
            plain = column.label.rstrip(" ↑↓")
            if name in (column.key, plain, plain.removesuffix(" best"), column.key.removesuffix(":best")):
                return column
        raise UserError(f"--sort {name}: no such column{hint(name, [column.key for column in self.columns])}")


def make_table(comparison: Comparison) -> Table:
    """All facts, in the order in which they are read: what was set, what came out, what it cost."""
    columns = [
        _column("status", "status", [run.status for run in comparison.runs], str),
        *_settings(comparison),
        *(column for metric in comparison.metrics for column in _scores(comparison.runs, metric)),
        *_costs(comparison.runs),
    ]
    columns[0] = Column("status", "status", columns[0].values, tuple(run.status_text for run in comparison.runs))
    return Table(comparison.labels, tuple(columns))


def _settings(comparison: Comparison) -> list[Column]:
    keys = comparison.differing.keys
    names = short_names(keys)
    values = {key: [of_run.get(key) for of_run in comparison.differing.values] for key in keys}
    # A recipe that could not be read has no values at all; a null in a recipe is one.
    known = [bool(of_run) for of_run in comparison.differing.values]
    columns = []
    for key in keys:
        texts = tuple(short_value(v) if k else "?" for v, k in zip(values[key], known, strict=True))
        columns.append(Column(key, names[key], tuple(values[key]), texts, key in comparison.differing.of_classes))
    return columns


def _scores(runs: Sequence[Run], metric: Metric) -> list[Column]:
    """The best and the last value; one column where no run has more than one value, or no mode is known."""
    curves = [run.curves.get(metric.name) for run in runs]
    last = [curve.values[-1] if curve else None for curve in curves]
    if metric.mode is None or max(len(curve.values) if curve else 0 for curve in curves) == 1:
        column = _column(f"{metric.name}:last", f"{metric.name} {metric.arrow}".rstrip(), last, _digits(last))
        return [_with_best(column, metric)]
    where = [curve.best(metric.mode) if curve else None for curve in curves]
    best = [None if c is None or i is None else c.values[i] for c, i in zip(curves, where, strict=True)]
    steps = [None if c is None or i is None else c.steps[i] for c, i in zip(curves, where, strict=True)]
    text = _digits(best)
    texts = (ABSENT if v is None else f"{text(v)} @ {step}" for v, step in zip(best, steps, strict=True))
    name = f"{metric.name} best {metric.arrow}"
    return [
        _with_best(Column(f"{metric.name}:best", name, tuple(best), tuple(texts)), metric),
        Column(f"{metric.name}:best_step", f"{metric.name} best at", tuple(steps), (), hidden=True),
        _with_best(_column(f"{metric.name}:last", f"{metric.name} last {metric.arrow}", last, _digits(last)), metric),
    ]


def _costs(runs: Sequence[Run]) -> list[Column]:
    def of_training(key: str) -> list[Any]:
        return [run.training.get(key) for run in runs]

    devices = [_devices(run) for run in runs]
    trainable = _column("trainable_parameters", "trainable", of_training("trainable_parameters"), lambda n: f"{n:,}")
    all_are = trainable.values == tuple(of_training("parameters"))
    return [
        _column("time_s", "time", [run.time_s for run in runs], duration),
        _column("steps", "steps", [run.steps for run in runs], lambda n: f"{n:,}"),
        _column("epochs", "epochs", [run.epochs for run in runs], str),
        _column(
            "samples_per_s",
            "samples/s",
            [run.samples_per_s for run in runs],
            lambda n: f"{n:,.4g}" if n < 1000 else f"{n:,.0f}",
        ),
        _column("devices", "devices", devices, str),
        _column("precision", "precision", of_training("precision"), str),
        _column("parameters", "parameters", of_training("parameters"), lambda n: f"{n:,}"),
        dataclasses.replace(trainable, folded=all_are),
    ]


def _devices(run: Run) -> str | None:
    number, kind = run.training.get("devices"), run.training.get("accelerator")
    return None if number is None else f"{number} {kind or ''}".rstrip()


def _column(key: str, label: str, values: Sequence[Any], text: Text) -> Column:
    return Column(key, label, tuple(values), tuple(ABSENT if value is None else text(value) for value in values))


def _with_best(column: Column, metric: Metric) -> Column:
    finite = [index for index, value in enumerate(column.values) if not _unknown(value) and math.isfinite(value)]
    if metric.mode is None or len({column.values[index] for index in finite}) < 2:
        return column
    best = (max if metric.mode == "max" else min)(finite, key=column.values.__getitem__)
    return dataclasses.replace(column, best=best)


def _digits(values: Sequence[float | None]) -> Text:
    """As many significant digits, 4 to 9, as it takes for unequal values to read unequal."""
    different = {value for value in values if value is not None and math.isfinite(value)}
    digits = next((n for n in range(4, 9) if len({f"{value:.{n}g}" for value in different}) == len(different)), 9)
    return lambda value: f"{value:.{digits}g}" if math.isfinite(value) else str(value).replace("nan", "NaN")


def _unknown(value: Any) -> bool:
    return value is None or value == ABSENT or (isinstance(value, float) and math.isnan(value))


def _reordered(column: Column, order: Sequence[int]) -> Column:
    return dataclasses.replace(
        column,
        values=tuple(column.values[index] for index in order),
        texts=tuple(column.texts[index] for index in order if column.texts),
        best=None if column.best is None else list(order).index(column.best),
    )
