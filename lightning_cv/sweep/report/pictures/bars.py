"""How much did each parameter matter?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_cv.compare.settings import short_names
from lightning_cv.sweep.engine.results import StudyResults
from lightning_cv.sweep.report.importance import importances
from lightning_cv.sweep.report.pictures.style import BLUE, INK, SMALL, frame, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_importance(results: StudyResults) -> Figure | None:
    """A bar for each parameter, the most important on top; None where nothing can be said."""
    found = importances(results)
    if found is None:
        return None
    names = short_names(results.sweep.space.paths)
    figure = new_figure(7, 1.1 + 0.38 * len(found))
    axes = figure.add_subplot()
    frame(axes)
    shares = list(found.values())
    axes.barh(range(len(shares)), shares, height=0.62, color=BLUE)
    for row, share in enumerate(shares):
        axes.text(share, row, f" {share:.0%}", va="center", color=INK, fontsize=SMALL)
    axes.set_yticks(range(len(shares)), [names[path] for path in found], parse_math=False)
    axes.set(ylim=(len(shares) - 0.4, -0.6), xlim=(0, max(shares) * 1.12))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(visible=False, axis="y")
    metrics = results.sweep.objectives
    what = metrics[0].metric if len(metrics) == 1 else "the Pareto front"
    axes.set_xlabel(f"importance for {what} (PED-ANOVA, {len(results.complete)} trials)", fontsize=9, parse_math=False)
    return figure
