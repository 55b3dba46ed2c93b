"""Which part of an axis do values need, and where do its marks stand?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_cv.compare.settings import short_value
from lightning_cv.recipe.space import Choice, Parameter, Range, Value, same
from lightning_cv.sweep.definition.spec import Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

MARGIN = 0.04  # of an axis: free at either end
_FENCE = 1.5  # how far the axis reaches beyond the best three quarters, in units of their spread
_ENOUGH = 8  # values, from which on a bad one may lie outside
_RATIO = 100.0  # of the largest to the smallest value, from which on the axis is logarithmic
_MOST_MARKS = 8
_NAME_LETTERS = 16


@dataclass(frozen=True)
class ScoreScale:
    """The axis of an objective.

    Args:
        low, high: the values at its ends, without margin; low < high.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    log: bool = False

    def clip(self, value: float) -> float:
        """The value, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.low <= value <= self.high

    def including(self, values: Sequence[float]) -> ScoreScale:
        """The same, made longer where one of the values lies beyond it."""
        low, high = min([self.low, *values]), max([self.high, *values])
        return ScoreScale(low, high, log=self.log and low > 0)

    def apply(self, axes: Axes, name: str = "y") -> None:
        """Give an axis, `x` or `y`, this scale with a margin."""
        _set_axis(axes, name, self)


def score_scale(values: Sequence[float], mode: Mode) -> ScoreScale:
    """The axis on which the good values can be told apart: the few that are far worse than the others lie beyond it.

    It reaches beyond the best three quarters by 1.5 times their spread (Tukey's fence, from the best value), or as
    far as all values where that is no more than twice the length. It is logarithmic where the values have one
    sign, span a factor of 100, and so all lie on it; a score that is good near 1, such as an accuracy, stays linear.
    """
    low, high = min(values), max(values)
    wide = low > 0 and high / low >= _RATIO and (mode == "min" or high > 1)
    if wide and _reach([math.log(value) for value in values], mode) == (math.log(low), math.log(high)):
        return ScoreScale(low, high, log=True)
    low, high = _reach(values, mode)
    if low == high:
        half = abs(low) * 0.05 or 0.5
        return ScoreScale(low - half, high + half)
    return ScoreScale(low, high)


def _reach(values: Sequence[float], mode: Mode) -> tuple[float, float]:
    """The ends of a linear axis."""
    if mode == "max":
        low, high = _reach([-value for value in values], "min")
        return -high, -low
    low, high = min(values), max(values)
    if len(values) >= _ENOUGH:
        upper = statistics.quantiles(values, n=4, method="inclusive")[2]
        fence = upper + _FENCE * (upper - low)
        if fence > low and high > fence + (fence - low):
            high = max(value for value in values if value <= fence)
    return low, high


def parameter_axis(axes: Axes, parameter: Parameter, name: str) -> None:
    """Give an axis, `x` or `y`, the range of a parameter, with few marks that read as a recipe does."""
    axis: Axis = getattr(axes, f"{name}axis")
    if isinstance(parameter, Choice):
        axes.set(**{f"{name}lim": (-0.6, len(parameter.options) - 0.4)})
        names = [_shortened(short_value(key)) for key in parameter.keys]
        slanted = name == "x" and sum(map(len, names)) > 24
        axis.set_ticks(range(len(names)), names, parse_math=False)
        if slanted:
            axes.tick_params(axis="x", labelrotation=30)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        return
    _set_axis(axes, name, parameter)


def place(parameter: Parameter, value: Value) -> float:
    """Where a value stands on the axis of its parameter."""
    if isinstance(parameter, Choice):
        return next(index for index, key in enumerate(parameter.keys) if same(key, value))
    assert isinstance(value, int | float)
    return float(value)


def mark_text(value: float) -> str:
    """`0.001`, `30`, `1e-5`: as short as a number can be written."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.10g}"
    mantissa, _, exponent = f"{value:.9e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _set_axis(axes: Axes, name: str, scale: ScoreScale | Range) -> None:
    axis: Axis = getattr(axes, f"{name}axis")
    if scale.log:
        factor = (scale.high / scale.low) ** MARGIN
        ends = (scale.low / factor, scale.high * factor)
        axes.set(**{f"{name}scale": "log"})
    else:
        distance = (scale.high - scale.low) * MARGIN
        ends = (scale.low - distance, scale.high + distance)
    marks = _marks(scale)
    axis.set_ticks(marks, [mark_text(mark) for mark in marks])
    axis.set_ticks([], minor=True)
    axes.set(**{f"{name}lim": ends})


def _marks(scale: ScoreScale | Range) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low, high = scale.low, scale.high
    if scale.log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
            marks = [step * 10.0**power for power in powers for step in steps]
            marks = [mark for mark in marks if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9)]
            if len(marks) >= 3:
                return marks[:: math.ceil(len(marks) / _MOST_MARKS)]
    integer = isinstance(scale, Range) and scale.integer
    slack = (high - low) * 1e-9
    found = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10], integer=integer).tick_values(low, high)
    return [float(f"{mark:.12g}") for mark in found if low - slack <= mark <= high + slack]


def _shortened(text: str) -> str:
    return text if len(text) <= _NAME_LETTERS else text[: _NAME_LETTERS - 1] + "…"
