"""Does the recipe state what a sweep fixes and searches, so that a typo cannot search nothing?"""

from __future__ import annotations

import difflib
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.files import Recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.paths import get_at, join_path, walk
from lightning_cv.recipe.space import Choice, Parameter, Range, Space, Value
from lightning_cv.recipe.suggest import hint, nearest

# What every run has, whether its recipe states it or not.
_ALWAYS = ("seed_everything",)


def fix(said: Recipe, base: Composed, fixed: Mapping[str, Any]) -> Composed:
    """The recipe with the values that all trials share.

    Raises:
        UserError: a path that the recipe does not state.
    """
    composed = base
    for path, value in fixed.items():
        at = f"fixed.{path}"
        if not _states(composed, path) and path not in _ALWAYS:
            parent, _, last = path.rpartition(".")
            add = f"; {{{parent}: {{{last}: {shown(value)}}}}} adds an option" if _states(composed, parent) else ""
            raise mistake(said, at, f"the recipe does not state it{_instead(path, composed)}{add}")
        composed = composed.set(path, value, said.origin(at))
    return composed


def check_space(said: Recipe, composed: Composed, space: Space, fixed: Mapping[str, Any]) -> None:
    """Compare what is searched with the recipe; warns of values of another kind than the recipe's.

    Args:
        said: the sweep.
        composed: the recipe with the fixed values.
        space: what is searched.
        fixed: the fixed values by path.

    Raises:
        UserError: a path that the recipe does not state, under one of the options that it depends on where there are
            such; one that is fixed too; one inside another, unless it depends on that; a kind that cannot be meant.
    """
    for parameter in space.parameters:
        at = f"space.{parameter.path}"
        _check_overlap(said, parameter, space, fixed)
        if parameter.path in _ALWAYS:
            continue
        worlds = list(_worlds(parameter, space))
        if not worlds:
            raise mistake(said, f"{at}.when", "these conditions are never met together")
        for values in worlds:
            recipe = apply(composed, space, values)
            if not _states(recipe, parameter.path):
                under = ", ".join(f"{path} = {key}" for path, key in values.items())
                where = f"the recipe does not state it{f' where {under}' if under else ''}"
                raise mistake(said, at, f"{where}{_instead(parameter.path, recipe)}")
            _check_kind(said, parameter, get_at(recipe.values, parameter.path), where=recipe.origin(parameter.path))


def apply(composed: Composed, space: Space, values: Mapping[str, Value], origin: str = "trial") -> Composed:
    """The recipe with these values of a space."""
    for path, value in space.overrides(values):
        composed = composed.set(path, value, origin)
    return composed


def _worlds(parameter: Parameter, space: Space) -> Iterator[dict[str, Value]]:
    """Every set of options under which a parameter is searched, those that its conditions depend on included."""
    branches = []
    for condition in parameter.when:
        above = list(_worlds(space.get(condition.path), space))
        branches.append([{**world, condition.path: key} for world in above for key in condition.keys])
    for chosen in itertools.product(*branches):
        merged: dict[str, Value] = {}
        if all(merged.setdefault(path, key) == key for world in chosen for path, key in world.items()):
            yield merged


def _check_overlap(said: Recipe, parameter: Parameter, space: Space, fixed: Mapping[str, Any]) -> None:
    at = f"space.{parameter.path}"
    for path in fixed:
        if path == parameter.path:
            raise mistake(said, at, "is fixed too; take it out of fixed or of space")
        if path.startswith(f"{parameter.path}."):
            raise mistake(
                said, f"fixed.{path}", f"lies inside {parameter.path}, which is searched; put it into its options"
            )
    for other in space.parameters:
        depends = any(condition.path == other.path for condition in parameter.when)
        if parameter.path.startswith(f"{other.path}.") and not depends:
            when = f"when: {{{other.path}: [...]}}"
            raise mistake(said, at, f"lies inside {other.path}, which is searched too; say under which options: {when}")


def _check_kind(said: Recipe, parameter: Parameter, old: Any, *, where: str) -> None:
    at = f"space.{parameter.path}"
    if isinstance(parameter, Choice):
        for key, option in parameter.options:
            kinds = {_kind(old), _kind(option)}
            # null stands for anything, and the text of a class path for its mapping.
            if len(kinds) == 2 and "null" not in kinds and kinds != {"text", "mapping"}:
                message = f"the option {shown(key)} is a {_kind(option)}, the recipe has {shown(old)} ({where})"
                warnings.warn(str(mistake(said, at, message)), stacklevel=2)
        return
    if _kind(old) in ("mapping", "list"):
        raise mistake(said, at, f"the recipe has a {_kind(old)} there ({where}), {parameter.kind} gives numbers")
    if _kind(old) in ("text", "truth value"):
        message = f"{parameter.kind} gives numbers, the recipe has {shown(old)} ({where})"
        warnings.warn(str(mistake(said, at, message)), stacklevel=2)
    elif isinstance(old, int) and not parameter.integer:
        _check_fractions(said, parameter, old, where=where)


def _check_fractions(said: Recipe, parameter: Range, old: int, *, where: str) -> None:
    whole = float(parameter.low).is_integer() and float(parameter.high).is_integer()
    bounds = f": [{int(parameter.low)}, {int(parameter.high)}]" if whole else ""
    instead = "log_int" if parameter.log else "int"
    problem = (
        f"{parameter.kind} draws fractions, the recipe has the whole number {old} ({where}); write {instead}{bounds}, "
        f"or {old}.0 in the recipe if fractions are meant"
    )
    if parameter.log:
        raise mistake(said, f"space.{parameter.path}", problem)
    if whole:
        warnings.warn(str(mistake(said, f"space.{parameter.path}", problem)), stacklevel=2)


def _kind(value: Any) -> str:
    kinds = {bool: "truth value", int: "number", float: "number", str: "text", dict: "mapping", list: "list"}
    return kinds.get(type(value), "null")


def _states(composed: Composed, path: str) -> bool:
    try:
        get_at(composed.values, path)
    except UserError:
        return False
    return True


def _instead(path: str, composed: Composed) -> str:
    """The path that was probably meant: beside it, or elsewhere under the same name, or the one most like it."""
    parent, _, last = path.rpartition(".")
    known = [place for place, _ in walk(composed.values) if place]
    beside: Any = get_at(composed.values, parent) if _states(composed, parent) else None
    siblings = [str(key) for key in beside] if isinstance(beside, dict) else []
    namesakes = [place for place in known if place.rpartition(".")[2] == last]
    if near := nearest(last, siblings):
        near = join_path(parent, near)
    else:
        near = next(iter(difflib.get_close_matches(path, namesakes, n=1, cutoff=0.0)), None)
    if near is None and siblings:
        return hint(last, siblings)
    near = near or nearest(path, known)
    return f"; did you mean {near}?" if near else ""
