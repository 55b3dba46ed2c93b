"""Where in the plane of the two most important numbers do the good trials lie?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.recipe.space import Range
from lightning_cv.sweep.definition.spec import Objective
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.importance import importances
from lightning_cv.sweep.report.pictures.scale import MARGIN, ScoreScale, mark_text, parameter_axis, score_scale
from lightning_cv.sweep.report.pictures.style import INK, RED, SMALL, new_figure, score_colors
from lightning_cv.sweep.report.remarks import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_MIN_TRIALS = 4
_REACH = 0.11  # of a trial on the map around it, of the side: one standard deviation
_PIXELS = 160  # of a side of the map
_OPAQUE = 0.85  # of the map where trials are dense
_MOST_CELLS = 15  # of a side of a grid with its values written in


@dataclass(frozen=True)
class _Plane:
    """Two parameters, the trials that have both, and how their first score is coloured."""

    x: Range
    y: Range
    trials: tuple[TrialResult, ...]
    objective: Objective
    scale: ScoreScale
    names: tuple[str, str]

    def at(self, trial: TrialResult) -> tuple[float, float]:
        """The two values."""
        x, y = trial.values[self.x.path], trial.values[self.y.path]
        assert isinstance(x, int | float)
        assert isinstance(y, int | float)
        return float(x), float(y)

    @property
    def best(self) -> TrialResult:
        """The best of the trials."""
        return (max if self.objective.mode == "max" else min)(self.trials, key=_score)


def draw_heatmap(results: StudyResults) -> Figure | None:
    """The first objective over the two most important numeric parameters.

    A grid is shown cell by cell with its values: of several trials in one cell the best. Elsewhere the trials are
    points on a map of the mean score around each place, weighted by a normal distribution with a standard
    deviation of 0.11 of the side; it fades where no trial is near. None where fewer than two parameters are
    numbers, or fewer than four complete trials have both.
    """
    plane = _plane(results)
    if plane is None:
        return None
    figure = new_figure(7.2, 5.6)
    axes = figure.add_subplot()
    xs, ys = (sorted({plane.at(trial)[axis] for trial in plane.trials}) for axis in (0, 1))
    full = len({plane.at(trial) for trial in plane.trials}) == len(xs) * len(ys)
    if (full or results.sweep.sampler.name == "grid") and max(len(xs), len(ys)) <= _MOST_CELLS:
        colors = _draw_cells(axes, plane, xs, ys)
    else:
        colors = _draw_map(axes, plane)
    axes.set_xlabel(plane.names[0], parse_math=False)
    axes.set_ylabel(plane.names[1], parse_math=False)
    axes.tick_params(labelsize=SMALL)
    scores = [_score(trial) for trial in plane.trials]
    lower, upper = min(scores) < plane.scale.low, max(scores) > plane.scale.high
    bar = figure.colorbar(
        colors, ax=axes, aspect=28, pad=0.02, extend="min" if lower else "max" if upper else "neither"
    )
    bar.set_label(title(plane.objective), parse_math=False)
    return figure


def _plane(results: StudyResults) -> _Plane | None:
    ranges = [parameter for parameter in results.sweep.space.parameters if isinstance(parameter, Range)]
    shares = importances(results) or {}
    chosen = sorted(ranges, key=lambda parameter: -shares.get(parameter.path, 0.0))[:2]
    if len(chosen) < 2:
        return None
    x, y = sorted(chosen, key=ranges.index)
    trials = tuple(trial for trial in results.complete if x.path in trial.values and y.path in trial.values)
    if len(trials) < _MIN_TRIALS:
        return None
    objective = results.sweep.objectives[0]
    names = short_names(results.sweep.space.paths)
    scale = score_scale([_score(trial) for trial in trials], objective.mode)
    return _Plane(x, y, trials, objective, scale, (names[x.path], names[y.path]))


def _mappable(plane: _Plane) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    norm = (LogNorm if plane.scale.log else Normalize)(plane.scale.low, plane.scale.high, clip=True)
    return ScalarMappable(norm, score_colors(plane.objective))


def _draw_cells(axes: Axes, plane: _Plane, xs: Sequence[float], ys: Sequence[float]) -> ScalarMappable:
    """One cell for each pair of values, with the score in it, and a frame around the best."""
    import numpy as np
    from matplotlib.patches import Rectangle

    colors = _mappable(plane)
    better = max if plane.objective.mode == "max" else min
    cells = np.full((len(ys), len(xs)), np.nan)
    for trial in plane.trials:
        x, y = plane.at(trial)
        row, column = ys.index(y), xs.index(x)
        known = cells[row, column]
        cells[row, column] = _score(trial) if math.isnan(known) else better(known, _score(trial))
    axes.imshow(colors.to_rgba(cells), origin="lower", aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(xs)), [mark_text(float(f"{x:.3g}")) for x in xs])
    axes.set_yticks(range(len(ys)), [mark_text(float(f"{y:.3g}")) for y in ys])
    size = SMALL + 2 if max(cells.shape) <= 5 else SMALL if max(cells.shape) <= 8 else SMALL - 2
    for (row, column), value in np.ndenumerate(cells):
        text = "none" if math.isnan(value) else f"{value:.3g}"
        ink = INK if math.isnan(value) else _contrast(*colors.to_rgba(value))
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
    x, y = plane.at(plane.best)
    corner = (xs.index(x) - 0.5, ys.index(y) - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RED, linewidth=2.5, clip_on=False, zorder=4))
    return colors


def _draw_map(axes: Axes, plane: _Plane) -> ScalarMappable:
    """The trials as points over the smoothed scores, and a star on the best."""
    import numpy as np

    colors = _mappable(plane)
    places = np.array([[plane.x.unit(x), plane.y.unit(y)] for x, y in map(plane.at, plane.trials)])
    scores = np.array([plane.scale.clip(_score(trial)) for trial in plane.trials])
    side = (np.arange(_PIXELS) + 0.5) / _PIXELS
    columns, rows = np.meshgrid(side, side)
    squares = (columns[..., None] - places[:, 0]) ** 2 + (rows[..., None] - places[:, 1]) ** 2
    weights = np.exp(-squares / (2 * _REACH**2))
    total = weights.sum(-1)
    means = (weights * scores).sum(-1) / np.maximum(total, 1e-300)
    pixels = colors.to_rgba(means)
    pixels[..., 3] = _OPAQUE * (1 - np.exp(-1.5 * total))
    parameter_axis(axes, plane.x, "x")
    parameter_axis(axes, plane.y, "y")
    # Even in the unit square, as the axes are in their own scales: it is laid on the axes, not on their values.
    ends = (MARGIN / (1 + 2 * MARGIN), (1 + MARGIN) / (1 + 2 * MARGIN))
    axes.imshow(pixels, transform=axes.transAxes, extent=(*ends, *ends), origin="lower", aspect="auto")
    x, y = zip(*map(plane.at, plane.trials), strict=True)
    axes.scatter(x, y, s=42, color=colors.to_rgba(scores), edgecolors="white", linewidths=0.9, zorder=3)
    _mark_best(axes, plane)
    return colors


def _mark_best(axes: Axes, plane: _Plane) -> None:
    """A star, and beside it, on the side where there is room, the trial and its score."""
    best = plane.at(plane.best)
    axes.scatter(*best, s=230, marker="*", color=RED, edgecolors="white", linewidths=0.9, zorder=4)
    left, low = plane.x.unit(best[0]), plane.y.unit(best[1])
    axes.annotate(
        f"trial {plane.best.number}: {short_value(_score(plane.best))}",
        best,
        xytext=(0, 11 if low < 0.9 else -11),
        textcoords="offset points",
        ha="left" if left < 0.15 else "right" if left > 0.85 else "center",
        va="bottom" if low < 0.9 else "top",
        fontsize=SMALL,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        zorder=5,
    )


def _contrast(red: float, green: float, blue: float, _: float) -> str:
    """Ink that can be read on a colour, by its luminance (ITU-R BT.709)."""
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else "white"


def _score(trial: TrialResult) -> float:
    assert trial.scores is not None
    return trial.scores[0]
