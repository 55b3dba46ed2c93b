"""How does the score depend on each parameter alone?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.recipe.space import Choice, Parameter
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.pictures.scale import ScoreScale, parameter_axis, place, score_scale
from lightning_cv.sweep.report.pictures.style import INK, RED, frame, new_figure, number_colors
from lightning_cv.sweep.report.remarks import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_MOST_COLUMNS = 4
_JITTER = 0.5  # width of the column of an option; its neighbour is 1 away
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class _Row:
    """What the panels of one objective share."""

    objective: int
    scale: ScoreScale
    best: TrialResult
    colors: ScalarMappable
    label: str

    def score(self, trial: TrialResult) -> float:
        assert trial.scores is not None
        return trial.scores[self.objective]


def draw_slices(results: StudyResults) -> Figure | None:
    """A panel for each objective and parameter with the complete trials that have it, coloured by their number.

    The best trial by that objective bears a ring; one beyond the axis is an arrow at its end. None where there are
    fewer than two complete trials.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    parameters = [p for p in results.sweep.space.parameters if any(p.path in t.values for t in results.complete)]
    if len(results.complete) < 2 or not parameters:
        return None
    height = math.ceil(len(parameters) / _MOST_COLUMNS)
    columns = math.ceil(len(parameters) / height)
    figure = new_figure(1.4 + 2.9 * columns, 0.3 + 3.0 * height * len(results.sweep.objectives))
    grid = figure.subplots(height * len(results.sweep.objectives), columns, squeeze=False)
    colors = ScalarMappable(Normalize(0, max(trial.number for trial in results.complete)), number_colors())
    for index in range(len(results.sweep.objectives)):
        row = _row(results, index, colors)
        for number, axes in enumerate(grid[index * height : (index + 1) * height].flatten()):
            if number >= len(parameters):
                axes.set_visible(False)
                continue
            _panel(axes, parameters[number], results, row=row)
            if number % columns:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(row.label, parse_math=False)
    figure.colorbar(colors, ax=grid, label="trial", aspect=30, pad=0.015, ticks=MaxNLocator(integer=True))
    return figure


def _row(results: StudyResults, index: int, colors: ScalarMappable) -> _Row:
    scores = [(trial.scores or ())[index] for trial in results.complete]
    mode = results.sweep.objectives[index].mode
    best = results.complete[scores.index(max(scores) if mode == "max" else min(scores))]
    scale = score_scale(scores, mode)
    beyond = "" if all(map(scale.holds, scores)) else "\n(arrows: beyond the axis)"
    return _Row(index, scale, best, colors, title(results.sweep.objectives[index]) + beyond)


def _panel(axes: Axes, parameter: Parameter, results: StudyResults, *, row: _Row) -> None:
    trials = [trial for trial in results.complete if parameter.path in trial.values]
    frame(axes)
    parameter_axis(axes, parameter, "x")
    row.scale.apply(axes)
    axes.set_xlabel(_name(parameter, results), parse_math=False)
    lower = [trial for trial in trials if row.score(trial) < row.scale.low]
    upper = [trial for trial in trials if row.score(trial) > row.scale.high]
    inside = [trial for trial in trials if row.scale.holds(row.score(trial))]
    for marker, chosen in (("o", inside), ("v", lower), ("^", upper)):
        x = [_x(parameter, trial) for trial in chosen]
        y = [row.scale.clip(row.score(trial)) for trial in chosen]
        style: dict[str, Any] = {"edgecolors": INK, "linewidths": 0.4, "clip_on": False, "zorder": 3}
        axes.scatter(x, y, s=36, marker=marker, color=_colors(row, chosen), **style)
    if row.best in trials:
        at = [_x(parameter, row.best)], [row.score(row.best)]
        axes.scatter(*at, s=130, marker="o", facecolors="none", edgecolors=RED, linewidths=1.6, zorder=4)


def _colors(row: _Row, trials: Sequence[TrialResult]) -> Any:
    import numpy as np

    return row.colors.to_rgba(np.array([trial.number for trial in trials]))


def _x(parameter: Parameter, trial: TrialResult) -> float:
    """Where a trial stands; of an option its column, spread evenly by the golden ratio so that points are seen."""
    at = place(parameter, trial.values[parameter.path])
    if not isinstance(parameter, Choice):
        return at
    return at + _JITTER * ((trial.number * _GOLDEN) % 1 - 0.5)


def _name(parameter: Parameter, results: StudyResults) -> str:
    """Its short name, and below it under which other values it is searched."""
    names = short_names(results.sweep.space.paths)
    conditions = [
        f"{names[condition.path]} is {' or '.join(map(short_value, condition.keys))}" for condition in parameter.when
    ]
    return "\n".join([names[parameter.path], *([f"(where {' and '.join(conditions)})"] if conditions else [])])
