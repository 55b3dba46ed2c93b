"""What does one objective cost in terms of another?"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.pictures.labels import label_points
from lightning_cv.sweep.report.pictures.scale import ScoreScale, score_scale
from lightning_cv.sweep.report.pictures.style import GREEN, GREY, frame, legend_below, new_figure
from lightning_cv.sweep.report.remarks import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 3
_MOST_LABELS = 25


def draw_front(results: StudyResults) -> Figure | None:
    """A panel for each pair of objectives: all complete trials, and those of the Pareto front with their numbers.

    Of two objectives the front is a step line: everything on its worse side is beaten. None for one objective, or
    fewer than two complete trials.
    """
    pairs = list(combinations(range(len(results.sweep.objectives)), 2))
    if not pairs or len(results.complete) < 2:
        return None
    columns = min(len(pairs), _MOST_COLUMNS)
    rows = -(-len(pairs) // columns)
    figure = new_figure(7.5 if len(pairs) == 1 else 4.4 * columns, 0.5 + (4.8 if len(pairs) == 1 else 3.8 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    for axes, pair in zip(panels, pairs, strict=False):
        _panel(axes, results, pair)
    handles, _ = panels[0].get_legend_handles_labels()
    legend_below(figure, handles)
    for axes, pair in zip(panels, pairs, strict=False):
        front = results.front()[:_MOST_LABELS]
        label_points(
            figure, axes, {str(t.number): _at(t, pair) for t in front}, others=[_at(t, pair) for t in results.complete]
        )
    return figure


def _panel(axes: Axes, results: StudyResults, pair: tuple[int, int]) -> None:
    frame(axes)
    corners = sorted(_at(trial, pair) for trial in results.front())
    points = [_at(trial, pair) for trial in results.complete]
    modes = [results.sweep.objectives[index].mode for index in pair]
    scales = [_scale(results, index) for index in pair]
    for name, index, scale in zip("xy", pair, scales, strict=True):
        scale.apply(axes, name)
        getattr(axes, f"set_{name}label")(title(results.sweep.objectives[index]), parse_math=False)
    clipped = [tuple(scale.clip(value) for scale, value in zip(scales, point, strict=True)) for point in points]
    for beyond, face, label in ((False, GREY, "complete"), (True, "white", "complete, beyond the axes")):
        shown = [at for at, point in zip(clipped, points, strict=True) if (at != point) == beyond]
        if shown:
            x, y = zip(*shown, strict=True)
            axes.scatter(x, y, s=26, facecolors=face, edgecolors=GREY, linewidths=0.9, clip_on=False, label=label)
    x, y = zip(*corners, strict=True)
    if len(results.sweep.objectives) == 2:
        # Along x from better to worse, the second objective is as good as the last trial of the front made it.
        axes.step(x, y, where="post" if modes[0] == "min" else "pre", color=GREEN, linewidth=1.4, alpha=0.8)
    axes.scatter(x, y, s=46, color=GREEN, edgecolors="white", linewidths=0.6, zorder=4, label="Pareto front")


def _scale(results: StudyResults, index: int) -> ScoreScale:
    """Of one objective; the front is on it, however bad it is there."""
    scores = [score for trial in results.complete for score in _at(trial, (index,))]
    scale = score_scale(scores, results.sweep.objectives[index].mode)
    return scale.including([score for trial in results.front() for score in _at(trial, (index,))])


def _at(trial: TrialResult, pair: tuple[int, ...]) -> tuple[float, ...]:
    scores = trial.scores
    assert scores is not None
    return tuple(scores[index] for index in pair)
