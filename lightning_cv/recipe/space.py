"""Which values may a search give to which paths of a recipe, and how does a number in [0, 1) become one of them?

Every parameter maps the unit interval to its values, so that a random draw, a point of a low-discrepancy
sequence and a point of a grid are one and the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What a trial is told to use: a number, or of a choice the key of an option.
Value = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A parameter is searched only where another one has one of these values.

    Args:
        path: of the other parameter, a choice that stands before this one.
        keys: of the options under which the parameter is searched.
    """

    path: str
    keys: tuple[Value, ...]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether it is met by the values drawn so far."""
        return self.path in values and any(same(values[self.path], key) for key in self.keys)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers between two bounds, both included.

    Args:
        path: dotted path in the recipe.
        low, high: the bounds, low < high; above 0 where `log`.
        log: every factor is as likely as every other, instead of every difference.
        integer: whole numbers only.
        points: how many of its values a grid takes; None: it is not for a grid.
        when: under which other values it is searched; empty: always.
    """

    path: str
    low: float
    high: float
    log: bool = False
    integer: bool = False
    points: int | None = None
    when: tuple[Condition, ...] = ()

    @property
    def on_grid(self) -> tuple[int | float, ...]:
        """The values that a grid takes."""
        assert self.points is not None
        return self.spaced(self.points)

    @property
    def kind(self) -> str:
        """As a sweep says it: `log_uniform`, `uniform`, `log_int` or `int`."""
        return ("log_" if self.log else "") + ("int" if self.integer else "uniform")

    def at(self, unit: float) -> int | float:
        """The value at `unit` in [0, 1): uniform draws of it give draws of the range.

        Each whole number n stands for the interval from n - 1/2 to n + 1/2, as in Optuna.
        """
        low, high = self._edges()
        value = low + unit * (high - low)
        value = math.exp(value) if self.log else value
        if self.integer:
            return int(min(max(math.floor(value + 0.5), self.low), self.high))
        return float(min(max(value, self.low), self.high))

    def unit(self, value: float) -> float:
        """Where a value of the range lies in [0, 1], evenly in its logarithm where `log`."""
        low, high = self._ends()
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def spaced(self, number: int) -> tuple[int | float, ...]:
        """`number` values with equal distances, or equal ratios where `log`, both bounds among them.

        Of whole numbers the nearest ones, each once; a single value is the middle. Those between the bounds have
        12 significant digits, so that the decades of 1e-4 ... 1e-1 are 0.001 and 0.01 to the last bit.
        """
        low, high = self._ends()
        places = [low + (high - low) * (index / (number - 1) if number > 1 else 0.5) for index in range(number)]
        values = [math.exp(place) if self.log else place for place in places]
        if not self.integer:
            values = [min(max(float(f"{value:.12g}"), self.low), self.high) for value in values]
        if number > 1:
            values[0], values[-1] = self.low, self.high
        if self.integer:
            return tuple(dict.fromkeys(math.floor(value + 0.5) for value in values))
        return tuple(map(float, values))

    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)

    def _edges(self) -> tuple[float, float]:
        half = 0.5 if self.integer else 0.0
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several options.

    Args:
        path: dotted path in the recipe.
        options: what the recipe gets, by the key that stands for it; the key of a plain value is the value.
        when: under which other values it is searched; empty: always.
    """

    path: str
    options: tuple[tuple[Value, Any], ...]
    when: tuple[Condition, ...] = ()
    kind: str = "choice"

    @property
    def keys(self) -> tuple[Value, ...]:
        """The keys in their order."""
        return tuple(key for key, _ in self.options)

    @property
    def on_grid(self) -> tuple[Value, ...]:
        """The values that a grid takes: all keys."""
        return self.keys

    def at(self, unit: float) -> Value:
        """The key at `unit` in [0, 1)."""
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)][0]

    def option(self, key: Value) -> Any:
        """What the recipe gets for a key.

        Raises:
            KeyError: there is no such option.
        """
        for known, value in self.options:
            if same(known, key):
                return value
        raise KeyError(key)


Parameter = Range | Choice


@dataclass(frozen=True)
class Space:
    """What a sweep searches.

    Args:
        parameters: in the order of the sweep; a conditional one stands behind those that it depends on.
    """

    parameters: tuple[Parameter, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths in the recipe."""
        return tuple(parameter.path for parameter in self.parameters)

    def get(self, path: str) -> Parameter:
        """The parameter at a path.

        Raises:
            KeyError: nothing is searched there.
        """
        for parameter in self.parameters:
            if parameter.path == path:
                return parameter
        raise KeyError(path)

    def draw(self, units: Mapping[str, float]) -> dict[str, Value]:
        """The values at these places in [0, 1), by path; parameters whose condition is not met are left out."""
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if is_searched(parameter, values):
                values[parameter.path] = parameter.at(units[parameter.path])
        return values

    def grid(self) -> Iterator[dict[str, Value]]:
        """Every combination of the values on the grid, the first parameter changing slowest.

        A parameter whose condition is not met is left out, and multiplies nothing.
        """
        return _combinations({}, self.parameters)

    def overrides(self, values: Mapping[str, Value]) -> list[tuple[str, Any]]:
        """What the recipe gets, path by path in the order of the sweep, so that an option comes before its parts."""
        found: list[tuple[str, Any]] = []
        for parameter in self.parameters:
            if parameter.path in values:
                value: Any = values[parameter.path]
                found.append((parameter.path, parameter.option(value) if isinstance(parameter, Choice) else value))
        return found


def is_searched(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    """Whether the conditions of a parameter are met by the values of those before it."""
    return all(condition.holds(values) for condition in parameter.when)


def _combinations(values: dict[str, Value], rest: tuple[Parameter, ...]) -> Iterator[dict[str, Value]]:
    if not rest:
        yield dict(values)
    elif not is_searched(rest[0], values):
        yield from _combinations(values, rest[1:])
    else:
        for value in rest[0].on_grid:
            yield from _combinations({**values, rest[0].path: value}, rest[1:])


def same(left: Value, right: Value) -> bool:
    """Whether two keys are one: `True` is not `1`."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def key_of(value: Any, known: Sequence[Value]) -> Value:
    """The one of the known keys that a value read from a file means.

    Raises:
        KeyError: none.
    """
    for key in known:
        if same(key, value):
            return key
    raise KeyError(value)
