"""How did the trials get to their scores, validation by validation?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lightning_cv.sweep.engine.results import State, StudyResults, TrialResult
from lightning_cv.sweep.report.pictures.scale import score_scale
from lightning_cv.sweep.report.pictures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    frame,
    legend_below,
    new_figure,
)
from lightning_cv.sweep.report.remarks import title

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: dict[State, tuple[str, Literal["-", "--", ":"], str]] = {
    "complete": (BLUE, "-", "complete"),
    "pruned": (ORANGE, "-", "pruned"),
    "failed": (RED, "--", "failed"),
    "running": (GREY, "--", "running"),
    "waiting": (GREY, ":", "interrupted"),
}
_FADING = 0.6  # share of a pruned curve over which it fades
_PIECES = 60  # into which a fading curve is cut
_FAINT = 0.08


def draw_curves(results: StudyResults) -> Figure | None:
    """What each trial reported of the first objective over its validations; the best one thick.

    Pruned ones fade towards their end, which is marked. None where no trial has reported two values.
    """
    curves = [(trial, points) for trial in results.trials if (points := _curve(trial))]
    if max((len(points) for _, points in curves), default=0) < 2:
        return None
    from matplotlib.ticker import MaxNLocator

    objective = results.sweep.objectives[0]
    best = results.ranked()[0] if results.complete else None
    figure = new_figure(8, 4.6)
    axes = figure.add_subplot()
    frame(axes)
    score_scale([value for _, points in curves for _, value in points], objective.mode).apply(axes)
    alpha = min(0.7, max(0.2, 10 / len(curves)))
    for trial, points in curves:
        if trial is best:
            axes.plot(*zip(*points, strict=True), color=GREEN, linewidth=2.6, marker="o", markersize=4, zorder=5)
        else:
            _draw_curve(axes, trial, points, alpha=alpha)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("validation")
    axes.set_ylabel(title(objective), parse_math=False)
    drawn = [trial.state for trial, _ in curves if trial is not best]
    legend_below(figure, _handles(drawn, best))
    return figure


def _curve(trial: TrialResult) -> list[tuple[int, float]]:
    return [(step, trial.reported[step]) for step in sorted(trial.reported) if math.isfinite(trial.reported[step])]


def _draw_curve(axes: Axes, trial: TrialResult, points: Sequence[tuple[int, float]], *, alpha: float) -> None:
    color, line, _ = _STYLES[trial.state]
    if trial.state == "pruned":
        _draw_fading(axes, points, color=color, alpha=max(alpha, 0.5))
        axes.plot(*points[-1], marker="X", color=color, markersize=5, markeredgecolor="white", markeredgewidth=0.4)
    else:
        marker = "." if len(points) == 1 else None
        axes.plot(*zip(*points, strict=True), line, color=color, linewidth=1.2, alpha=alpha, marker=marker)
        if trial.state == "failed":
            axes.plot(*points[-1], marker="x", color=color, markersize=5)


def _draw_fading(axes: Axes, points: Sequence[tuple[int, float]], *, color: str, alpha: float) -> None:
    """A curve cut into pieces, of which each is paler than the one before."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    steps, values = zip(*points, strict=True)
    places = np.unique(np.concatenate([np.linspace(steps[0], steps[-1], _PIECES), steps]))
    corners = np.stack([places, np.interp(places, steps, values)], axis=1)
    progress = np.linspace(0, 1, max(1, len(corners) - 1))
    alphas = alpha - (alpha - _FAINT) * np.clip((progress - 1 + _FADING) / _FADING, 0, 1)
    pieces = [corners[index : index + 2] for index in range(len(corners) - 1)]
    colors = [to_rgba(color, float(value)) for value in alphas]
    axes.add_collection(LineCollection(pieces, colors=colors, linewidths=1.4), autolim=False)


def _handles(states: Sequence[State], best: TrialResult | None) -> list[Artist]:
    from matplotlib.lines import Line2D

    handles: list[Artist] = []
    if best is not None:
        handles.append(Line2D([], [], color=GREEN, linewidth=2.6, label=f"trial {best.number}, the best"))
    for state, (color, line, label) in _STYLES.items():
        if state in states:
            marker = {"pruned": "X", "failed": "x"}.get(state, "")
            handles.append(Line2D([], [], color=color, linestyle=line, marker=marker, markersize=5, label=label))
    return handles
