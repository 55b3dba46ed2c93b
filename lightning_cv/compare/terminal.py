"""How are curves drawn in a terminal?"""

from __future__ import annotations

import string

import plotille
from rich.console import Console
from rich.text import Text

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.run import XAxis
from lightning_cv.compare.series import X_LABELS, Line, lines_of

_COLORS = ("blue", "red", "green", "magenta", "cyan", "yellow", "white")
_HEIGHT = 16
_MARKS = 8  # letters on each line, by which lines are told apart where there is no colour
_MARGIN = 18  # of the numbers on the left, and the end of the lower axis


def print_curves(console: Console, comparison: Comparison, axis: XAxis) -> None:
    """Print a plot for each drawn metric: a line a group, with colours, or with letters where there are none.

    Raises:
        UserError: no run knows where its values stand on this axis.
    """
    for metric in comparison.drawn:
        lines = lines_of(comparison, metric.name, axis)
        if not lines:
            continue
        title = " ".join(filter(None, (metric.name, metric.arrow, "over", X_LABELS[axis])))
        console.print()
        console.print(Text(title, style="bold"))
        colored = console.color_system is not None
        console.print(Text.from_ansi(_plot(lines, width=console.width, colored=colored)), no_wrap=True)
        for number, line in enumerate(lines):
            sign = "──" if colored else f"{_letter(number)} "
            console.print(Text.assemble((sign, _COLORS[number % len(_COLORS)]), " ", line.label))


def _plot(lines: list[Line], *, width: int, colored: bool) -> str:
    figure = plotille.Figure()
    figure.width, figure.height = max(20, width - _MARGIN), _HEIGHT
    figure.color_mode, figure.with_colors = "names", colored
    figure.x_label = figure.y_label = ""
    figure.register_label_formatter(float, _number)
    figure.register_label_formatter(int, _number)
    for number, line in enumerate(lines):
        color = _COLORS[number % len(_COLORS)] if colored else None
        figure.plot(line.x, line.mean, lc=color)
        if not colored:
            period = max(1, len(line.x) // _MARKS)
            chosen = range(number % period, len(line.x), period)
            figure.scatter([line.x[i] for i in chosen], [line.mean[i] for i in chosen], marker=_letter(number))
    values = [value for line in lines for value in line.mean]
    places = [x for line in lines for x in line.x]
    figure.set_x_limits(*_limits(places))
    figure.set_y_limits(*_limits(values))
    # The first line and the ends of the axes name them, which the title does.
    _, *plotted = figure.show(legend=False).replace(" ()", "").splitlines()
    return "\n".join(line.rstrip() for line in plotted)


def _limits(values: list[float]) -> tuple[float, float]:
    """A little wider than the values, because a point on the very edge is not drawn."""
    low, high = min(values), max(values)
    margin = (high - low) / 50 or 0.5
    return low - margin, high + margin


def _number(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001  # plotille names them
    text = f"{value:.4g}"
    return text.ljust(chars) if left else text.rjust(chars)


def _letter(number: int) -> str:
    return string.ascii_letters[number % len(string.ascii_letters)]
