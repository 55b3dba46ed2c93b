"""How does a file say which values are searched, and which mistakes can be found without the recipe?"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import Recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.paths import join_path
from lightning_cv.recipe.space import Choice, Condition, Parameter, Range, Space, Value, is_searched, key_of, same
from lightning_cv.recipe.suggest import did_you_mean, hint

RANGES = {"log_uniform": (True, False), "uniform": (False, False), "log_int": (True, True), "int": (False, True)}

_KEYS = (*RANGES, "choice", "points", "when")
_LARGEST_INT = 2**53  # beyond, not every whole number is a float
_LINEAR_RATIO = 100  # a linear range of two decades draws 9 of 10 values from the upper one
_SHORT = 60


def read_space(said: Recipe, *, grid: bool | None) -> Space:
    """What the key `space` of a file says.

    Args:
        said: the file.
        grid: whether a range needs `points`; else it may have none. None: nothing is drawn, as the trials are listed;
            then it may have some, and no range is too wide.

    Raises:
        UserError: names file, line and path, what was given and what is allowed.
    """
    raw = said.values.get("space")
    if not isinstance(raw, dict) or not raw:
        raise mistake(said, "space", "no mapping of paths of the recipe to what is searched there")
    parameters: list[Parameter] = []
    for path, entry in raw.items():
        reader = _Reader(said, str(path), grid=grid)
        parameters.append(reader.parameter(entry, parameters, [str(other) for other in raw]))
    return Space(tuple(parameters))


def plain_space(space: Space) -> dict[str, Any]:
    """The plain data that `read_space` reads back to an equal space."""
    plain: dict[str, Any] = {}
    for parameter in space.parameters:
        entry: dict[str, Any] = {}
        if isinstance(parameter, Range):
            entry[parameter.kind] = [parameter.low, parameter.high]
            if parameter.points is not None:
                entry["points"] = parameter.points
        else:
            values = [value for _, value in parameter.options]
            listed = all(same(short_text(value), key) for key, value in parameter.options)
            entry["choice"] = values if listed else dict(parameter.options)
        if parameter.when:
            entry["when"] = {c.path: c.keys[0] if len(c.keys) == 1 else list(c.keys) for c in parameter.when}
        plain[parameter.path] = entry
    return plain


def short_text(value: Any) -> Value:
    """The key that stands for an option without a name: a plain value itself, else what it says in 60 characters."""
    if isinstance(value, Mapping | list):
        text = _text(value)
        return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."
    return value


def read_values(said: Recipe, at: str, space: Space) -> dict[str, Value]:
    """One trial that the file lists: a value for each path that is searched under the others.

    Args:
        said: the file.
        at: path of the trial's mapping, `listed.N`.
        space: what the values must lie in.

    Raises:
        UserError: a path that is not searched or is missing, or a value outside; names file and line.
    """
    raw = said.values["listed"][int(at.rpartition(".")[2])]
    if not isinstance(raw, dict):
        raise mistake(said, at, f"{shown(raw)} given, a mapping of searched paths to values is needed")
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if not is_searched(parameter, values):
            continue
        if parameter.path not in raw:
            raise mistake(said, at, f"no value for {parameter.path}")
        reader = _Reader(said, parameter.path, grid=False, at=join_path(at, parameter.path))
        values[parameter.path] = reader.value(raw[parameter.path], parameter)
    for path in raw:
        if path not in values:
            raise mistake(said, join_path(at, path), f"is not searched in this trial{did_you_mean(str(path), values)}")
    return values


class _Reader:
    """Reads what is said of one path."""

    def __init__(self, said: Recipe, path: str, *, grid: bool | None, at: str | None = None) -> None:
        self._said = said
        self._path = path
        self._grid = grid
        self._at = at or join_path("space", path)

    def parameter(self, entry: Any, earlier: Sequence[Parameter], paths: Sequence[str]) -> Parameter:
        if not all(self._path.split(".")):
            raise self._mistake("", "an empty part in the path")
        if not isinstance(entry, dict):
            raise self._mistake("", f"{shown(entry)} given, needed: a mapping such as {{log_uniform: [1.0e-4, 0.1]}}")
        for key, value in entry.items():
            if key not in _KEYS:
                nested = f"; a path is one dotted key: {self._path}.{key}" if isinstance(value, dict) else ""
                raise self._mistake("", f"{key} is no key here{nested or hint(str(key), _KEYS)}")
        kinds = [key for key in entry if key in RANGES or key == "choice"]
        if len(kinds) != 1:
            given = " and ".join(kinds) or "none"
            raise self._mistake("", f"one of {', '.join((*RANGES, 'choice'))} is needed, given: {given}")
        when = self._conditions(entry["when"], earlier, paths) if "when" in entry else ()
        if kinds == ["choice"]:
            if "points" in entry:
                raise self._mistake("points", "a choice takes none: a grid has all its options")
            return Choice(path=self._path, options=self._options(entry["choice"]), when=when)
        return self._range(kinds[0], entry, when)

    def value(self, raw: Any, parameter: Parameter) -> Value:
        """A value of the parameter, as a list of trials says it."""
        if isinstance(parameter, Choice):
            return self._key(raw, parameter, "")
        number = self._number(raw, "", whole=parameter.integer)
        if not parameter.low <= number <= parameter.high:
            raise self._mistake("", f"{shown(raw)} given, allowed: {parameter.low} to {parameter.high}")
        return number

    def _range(self, kind: str, entry: Mapping[str, Any], when: tuple[Condition, ...]) -> Range:
        log, integer = RANGES[kind]
        bounds = entry[kind]
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise self._mistake(kind, f"{shown(bounds)} given, two bounds are needed: [low, high]")
        low, high = (self._number(bound, f"{kind}.{index}", whole=integer) for index, bound in enumerate(bounds))
        if low >= high:
            raise self._mistake(kind, f"[{low}, {high}] given, the first bound must be below the second")
        if log and low <= 0:
            raise self._mistake(kind, f"[{low}, {high}] given, a logarithmic range lies above 0")
        if not math.isfinite(high - low):
            raise self._mistake(kind, f"[{low}, {high}] given, which is wider than a float can be")
        if self._grid is not None and not log and low > 0 and high / low >= _LINEAR_RATIO:
            message = (
                f"{kind} from {low} to {high} draws hardly a value from the lower decades; "
                f"log_{kind}: [{low}, {high}] draws from each decade alike"
            )
            warnings.warn(str(self._mistake("", message)), stacklevel=2)
        found = Range(path=self._path, low=low, high=high, log=log, integer=integer, when=when)
        return Range(**{**vars(found), "points": self._points(entry, found)})

    def _points(self, entry: Mapping[str, Any], found: Range) -> int | None:
        if "points" in entry and self._grid is False:
            raise self._mistake("points", "only the sampler grid takes points")
        if "points" not in entry:
            if self._grid:
                raise self._mistake("", "the sampler grid needs points, e.g. points: 3")
            return None
        points = entry["points"]
        if not isinstance(points, int) or isinstance(points, bool) or not 1 <= points <= 1000:
            raise self._mistake("points", f"{shown(points)} given, allowed: whole numbers from 1 to 1000")
        distinct = len(set(found.spaced(points)))
        if distinct < points:
            raise self._mistake("points", f"{points} given, which are only {distinct} different values; give fewer")
        return points

    def _options(self, raw: Any) -> tuple[tuple[Value, Any], ...]:
        if not isinstance(raw, list | dict) or not raw:
            raise self._mistake("choice", f"{shown(raw)} given, needed: a list, or a mapping of names to options")
        pairs = list(raw.items()) if isinstance(raw, dict) else [(short_text(value), value) for value in raw]
        for index, (key, value) in enumerate(pairs):
            below = f"choice.{key if isinstance(raw, dict) else index}"
            if any(isinstance(number, float) and not math.isfinite(number) for number in (key, value)):
                raise self._mistake(below, f"{shown(value)} given, only finite numbers can be chosen")
            # Optuna tells options apart by ==, as which True is 1.
            twins = [other for other, _ in pairs[:index] if other == key]
            if twins:
                remedy = "; name them: choice: {name: option}" if isinstance(value, dict | list) else ""
                raise self._mistake(below, f"{shown(key)} cannot be told from the option {shown(twins[0])}{remedy}")
        return tuple(pairs)

    def _conditions(self, raw: Any, earlier: Sequence[Parameter], paths: Sequence[str]) -> tuple[Condition, ...]:
        if not isinstance(raw, dict) or not raw:
            raise self._mistake("when", f"{shown(raw)} given, needed: a mapping of a searched path to its options")
        found = []
        for path, keys in raw.items():
            below = f"when.{path}"
            parent = next((parameter for parameter in earlier if parameter.path == path), None)
            if parent is None and path in paths:
                raise self._mistake(below, "must stand before what depends on it")
            if parent is None:
                raise self._mistake(below, f"is not searched{did_you_mean(str(path), [p.path for p in earlier])}")
            if not isinstance(parent, Choice):
                raise self._mistake(below, f"is a range ({parent.kind}); a condition names a choice")
            listed = keys if isinstance(keys, list) else [keys]
            wanted = [self._key(key, parent, below) for key in listed]
            if not wanted or len(set(wanted)) < len(wanted):
                raise self._mistake(below, f"{shown(keys)} given, needed: options of it, each once")
            found.append(Condition(path=parent.path, keys=tuple(wanted)))
        return tuple(found)

    def _key(self, raw: Any, choice: Choice, below: str) -> Value:
        try:
            return key_of(raw, choice.keys)
        except KeyError:
            allowed = ", ".join(shown(key) for key in choice.keys[:30])
            raise self._mistake(below, f"{shown(raw)} given, allowed: {allowed}") from None

    def _number(self, raw: Any, below: str, *, whole: bool) -> int | float:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise self._mistake(below, f"{shown(raw)} given, a number is needed")
        if not whole:
            if not abs(raw) <= sys.float_info.max:
                raise self._mistake(below, f"{shown(raw)} given, a finite number is needed")
            return float(raw)
        if not isinstance(raw, int) or abs(raw) > _LARGEST_INT:
            raise self._mistake(below, f"{shown(raw)} given, a whole number up to 2**53 is needed")
        return raw

    def _mistake(self, below: str, problem: str) -> UserError:
        return mistake(self._said, join_path(self._at, below) if below else self._at, problem)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        arguments = value.get("init_args") or {}
        if isinstance(value.get("class_path"), str) and isinstance(arguments, Mapping):
            inside = ", ".join(f"{key}={_text(item)}" for key, item in arguments.items())
            return value["class_path"].rpartition(".")[2] + (f"({inside})" if inside else "")
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return value if isinstance(value, str) else shown(value)
