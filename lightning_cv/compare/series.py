"""Which lines are drawn for a metric? One a group: the mean over its seeds, with its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.groups import Group
from lightning_cv.compare.run import Curve, XAxis
from lightning_cv.errors import UserError

X_LABELS: dict[XAxis, str] = {"step": "step", "epoch": "epoch", "samples": "samples", "time": "seconds of training"}


@dataclass(frozen=True)
class Line:
    """One line of a picture.

    Args:
        label: of the group, with its number of seeds if there are several.
        x: where the points stand; not finite ones are left out.
        mean: over the seeds, at each x; of one run its values.
        spread: the standard deviation over the seeds; None for a single run.
        members: x and values of each run.
    """

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...] | None
    members: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]


def lines_of(comparison: Comparison, metric: str, axis: XAxis) -> list[Line]:
    """The lines of the groups that have this metric.

    Raises:
        UserError: no run knows where its values stand on this axis.
    """
    lines = []
    for group in comparison.groups:
        curves = [curve for index in group.members if (curve := comparison.runs[index].curves.get(metric))]
        members = [points for curve in curves if (points := _points(curve, axis))[0]]
        if members:
            lines.append(_line(group, [curve for curve in curves if _points(curve, axis)[0]], axis, members))
    if not lines and any(metric in run.curves for run in comparison.runs):
        raise UserError(f"--x {axis}: {metric} has no finite value with a known {axis} in any run")
    return lines


def _line(group: Group, curves: Sequence[Curve], axis: XAxis, members: Sequence[tuple[tuple[float, ...], ...]]) -> Line:
    """The mean over the runs of a group, at the steps to which all of them got.

    Runs are matched by step on every axis: two seeds reach one step at different times.
    """
    drawn = tuple((points[0], points[1]) for points in members)
    if len(curves) == 1:
        return Line(group.label, *drawn[0], None, drawn)
    by_step = [
        {step: (x, value) for step, x, value in zip(c.steps, c.x(axis), c.values, strict=True) if _finite(x, value)}
        for c in curves
    ]
    common = [step for step in by_step[0] if all(step in points for points in by_step)]
    at = [[points[step] for points in by_step] for step in common]
    label = f"{group.label} ({group.num_seeds} seeds)" if group.num_seeds > 1 else f"{group.label} ({len(curves)} runs)"
    return Line(
        label,
        tuple(statistics.fmean(x for x, _ in points) for points in at),
        tuple(statistics.fmean(value for _, value in points) for points in at),
        tuple(statistics.stdev(value for _, value in points) for points in at),
        drawn,
    )


def _points(curve: Curve, axis: XAxis) -> tuple[tuple[float, ...], tuple[float, ...]]:
    found = [(x, value) for x, value in zip(curve.x(axis), curve.values, strict=True) if _finite(x, value)]
    return tuple(x for x, _ in found), tuple(value for _, value in found)


def _finite(x: float, value: float) -> bool:
    return math.isfinite(x) and math.isfinite(value)
