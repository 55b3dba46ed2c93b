"""How are curves drawn into a picture file?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.run import XAxis
from lightning_cv.compare.series import X_LABELS, Line, lines_of
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
_MARKED = 30  # points; more of them are a line without marks


def draw(comparison: Comparison, path: Path, axis: XAxis) -> None:
    """Write one panel a metric: each group's mean, a band of one standard deviation, and every run thinly.

    Raises:
        UserError: a suffix that is no picture's, a file that cannot be written, or nothing to draw.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"--plot {path}: give a file that ends in {', '.join(SUFFIXES)}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(metric, lines_of(comparison, metric.name, axis)) for metric in comparison.drawn]
    if not any(lines for _, lines in panels):
        raise UserError(f"--plot {path}: no run has a curve to draw")
    figure = Figure(figsize=(8, 0.6 + 3.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (metric, lines) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        for number, line in enumerate(lines):
            _draw_line(axes, line, color=f"C{number % 10}", dashed=number >= 10)
        axes.set_xlabel(X_LABELS[axis])
        axes.set_ylabel(f"{metric.name} {metric.arrow}".rstrip())
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = _legend(figure.axes)
    figure.legend(handles, labels, loc="outside lower center", ncols=_columns(labels), fontsize="small", frameon=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"--plot {display_path(path)}: cannot be written ({error.strerror})") from error


def _draw_line(axes: Axes, line: Line, *, color: str, dashed: bool) -> None:
    style = "--" if dashed else "-"
    marker = "." if len(line.x) <= _MARKED else None
    plot = axes.plot
    if line.spread is not None:
        for x, values in line.members:
            plot(x, values, color=color, linewidth=0.7, alpha=0.4)
        low = [mean - spread for mean, spread in zip(line.mean, line.spread, strict=True)]
        high = [mean + spread for mean, spread in zip(line.mean, line.spread, strict=True)]
        axes.fill_between(line.x, low, high, color=color, alpha=0.2, linewidth=0)
    plot(line.x, line.mean, style, color=color, linewidth=1.8, marker=marker, label=line.label)


def _legend(panels: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """One entry a group, whichever panels have it."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values()), list(entries)


def _columns(labels: list[str]) -> int:
    return max(1, min(len(labels), 90 // (max(map(len, labels)) + 8)))
