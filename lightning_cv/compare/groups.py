"""Which runs differ in their seed only, what do they score together, and do groups differ by more than luck?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.run import Run
from lightning_cv.compare.settings import SEED, Differences, fingerprint, short_names, short_value
from lightning_cv.compare.welch import Interval, welch

_SETTINGS_IN_LABEL = 3


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Args:
        label: what tells this group from the others.
        members: indices of its runs.
        num_seeds: how many different seeds; runs whose seed is unknown count as one each.
    """

    label: str
    members: tuple[int, ...]
    num_seeds: int


@dataclass(frozen=True)
class Score:
    """A group's score in one metric: the best value of each run, or the last where no mode is known.

    Args:
        values: of each seed; several runs of one seed are one value, their mean.
        mean: NaN if no run has a finite value.
        spread: the standard deviation over seeds; None for fewer than two.
    """

    values: tuple[float, ...]
    mean: float
    spread: float | None


@dataclass(frozen=True)
class Contrast:
    """How a group differs from the reference in a metric; `interval` is None where a side has one seed only."""

    metric: Metric
    group: int
    difference: float
    interval: Interval | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.interval is None:
            return "no interval"
        if self.interval.low == self.interval.high == 0:
            return "no difference"
        if not self.interval.excludes_zero:
            return "not told apart from luck"
        if self.metric.mode is None:
            return "differs"
        return "better" if (self.difference > 0) == (self.metric.mode == "max") else "worse"


def group_runs(runs: Sequence[Run], labels: Sequence[str], differing: Differences) -> list[Group]:
    """The groups in the order of their first runs; a run whose recipe is unknown is one of its own."""
    members: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        key = f"run {index}" if run.recipe is None else fingerprint(run.recipe, differing.ignored)
        members.setdefault(key, []).append(index)
    groups = list(members.values())
    names = _names(groups, labels, differing) if len(groups) > 1 else [runs[0].name or labels[0]]
    return [Group(name, tuple(group), len(_by_seed(runs, group))) for name, group in zip(names, groups, strict=True)]


def score(runs: Sequence[Run], group: Group, metric: Metric) -> Score:
    """What a group scores."""
    seeds = _by_seed(runs, group.members)
    values = []
    for indices in seeds:
        finite = [value for index in indices if math.isfinite(value := run_score(runs[index], metric))]
        if finite:
            values.append(statistics.fmean(finite))
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Score(tuple(values), statistics.fmean(values) if values else math.nan, spread)


def run_score(run: Run, metric: Metric) -> float:
    """The run's best value, or the last one where no mode is known; NaN if there is none."""
    curve = run.curves.get(metric.name)
    if curve is None:
        return math.nan
    index = -1 if metric.mode is None else curve.best(metric.mode)
    return math.nan if index is None else curve.values[index]


def contrasts(
    runs: Sequence[Run], groups: Sequence[Group], metrics: Sequence[Metric], *, reference: int
) -> list[Contrast]:
    """Each group against the reference, metric by metric; groups without a finite value are left out."""
    found = []
    for metric in metrics:
        scores = [score(runs, group, metric) for group in groups]
        start = scores[reference]
        for number, other in enumerate(scores):
            if number != reference and start.values and other.values:
                found.append(Contrast(metric, number, other.mean - start.mean, welch(start.values, other.values)))
    return found


def reference_group(groups: Sequence[Group]) -> int:
    """The first group with several seeds, because one with a single seed gets no interval; else the first."""
    return next((number for number, group in enumerate(groups) if group.num_seeds > 1), 0)


def _by_seed(runs: Sequence[Run], members: Sequence[int]) -> list[list[int]]:
    """Runs of one seed are no independent draws: they stand together."""
    seeds: dict[object, list[int]] = {}
    for index in members:
        seed = runs[index].seed
        seeds.setdefault(f"run {index}" if seed is None else seed, []).append(index)
    return list(seeds.values())


def _names(groups: Sequence[Sequence[int]], labels: Sequence[str], differing: Differences) -> list[str]:
    keys = [key for key in differing.keys if key != SEED and key not in differing.of_classes]
    short = short_names(keys)
    names = []
    for members in groups:
        values = differing.values[members[0]]
        said = [f"{short[key].rpartition('.')[2]}={short_value(values[key])}" for key in keys if key in values]
        names.append(", ".join(said) if 0 < len(said) <= _SETTINGS_IN_LABEL else labels[members[0]])
    # Where settings do not tell groups apart, their first runs do.
    return [name if names.count(name) == 1 else labels[members[0]] for name, members in zip(names, groups, strict=True)]
