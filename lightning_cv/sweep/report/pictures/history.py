"""How did the scores come in, trial by trial, and when did they stop getting better?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_cv.sweep.definition.spec import Mode
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.pictures.scale import ScoreScale, score_scale
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STRETCHED = 0.5  # of the axis: by so much it is made longer for pruned trials

_BEYOND = "_beyond"  # matplotlib leaves labels that begin with _ out of a legend

_Points = list[tuple[int, float]]  # number of the trial, score


def draw_history(results: StudyResults) -> Figure | None:
    """A panel for each objective: every trial's score by its number, and the best so far as a step line.

    A pruned trial stands where it ended, a failed one at the lower edge; one far beyond the axis is an arrow. None
    where fewer than two have a score.
    """
    if len(results.complete) < 2:
        return None
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    objectives = results.sweep.objectives
    figure = new_figure(8, 0.8 + 3.4 * len(objectives))
    panels = figure.subplots(len(objectives), squeeze=False, sharex=True)[:, 0]
    for index, (axes, objective) in enumerate(zip(panels, objectives, strict=True)):
        _panel(axes, results, index)
        axes.set_ylabel(title(objective), parse_math=False)
    figure.align_ylabels(list(panels))
    panels[-1].set_xlabel("trial")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles = {handle.get_label(): handle for axes in panels for handle in axes.get_legend_handles_labels()[0]}
    if any(line.get_label() == _BEYOND for axes in panels for line in axes.lines):
        handles["beyond"] = Line2D([], [], **_mark(GREY, "^", "beyond the axis"))
    legend_below(figure, list(handles.values()))
    return figure


def _panel(axes: Axes, results: StudyResults, objective: int) -> None:
    mode = results.sweep.objectives[objective].mode
    complete = _points(results.complete, objective)
    pruned = _points([trial for trial in results.trials if trial.state == "pruned"], objective)
    scale = score_scale([score for _, score in complete], mode)
    length = scale.high - scale.low
    scale = scale.including([score for _, score in pruned if abs(score - scale.clip(score)) < _STRETCHED * length])
    frame(axes)
    scale.apply(axes)
    _scatter(axes, complete, scale, style=_mark(BLUE, "o", "complete"))
    _scatter(axes, pruned, scale, style=_mark(ORANGE, "X", "pruned, at its end"))
    failed = [trial.number for trial in results.trials if trial.state == "failed"]
    if failed:
        axes.plot(failed, [0.012] * len(failed), transform=axes.get_xaxis_transform(), **_mark(RED, "x", "failed"))
    numbers, best = _best_so_far(complete, mode)
    last = max(trial.number for trial in results.trials)
    axes.step([*numbers, last], [*best, best[-1]], where="post", color=GREEN, linewidth=1.6, label="best so far")


def _points(trials: Sequence[TrialResult], objective: int) -> _Points:
    return [(t.number, t.scores[objective]) for t in trials if t.scores is not None and len(t.scores) > objective]


def _best_so_far(points: _Points, mode: Mode) -> tuple[list[int], list[float]]:
    best: list[float] = []
    for _, score in points:
        best.append(score if not best else (max if mode == "max" else min)(best[-1], score))
    return [number for number, _ in points], best


def _scatter(axes: Axes, points: _Points, scale: ScoreScale, *, style: dict[str, Any]) -> None:
    """The points; those beyond the axis as arrows at its end."""
    inside = [(number, score) for number, score in points if scale.holds(score)]
    lower = [(number, scale.low) for number, score in points if score < scale.low]
    upper = [(number, scale.high) for number, score in points if score > scale.high]
    for chosen, changed in ((inside, {}), (lower, {"marker": "v"}), (upper, {"marker": "^"})):
        if chosen:
            axes.plot(*zip(*chosen, strict=True), **{**style, **changed, **({"label": _BEYOND} if changed else {})})


def _mark(color: str, marker: str, label: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": marker,
        "color": color,
        "markersize": 6.5,
        "markeredgecolor": color if marker == "x" else "white",
        "markeredgewidth": 1.4 if marker == "x" else 0.5,
        "label": label,
        "clip_on": False,
    }
