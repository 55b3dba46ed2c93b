"""What do several recipes and overrides, given in this order, say together?

Later wins: mappings are merged key by key, everything else (lists too) is replaced, and `null` replaces.
Where a later source names another `class_path`, the `init_args` and `dict_kwargs` of the old class go, and
only those that later sources give remain: options of one class say nothing about another.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import Recipe, read_value
from lightning_cv.recipe.paths import child_key, get_at, join_path, walk
from lightning_cv.recipe.suggest import hint

COMMAND_LINE = "command line"
TOP_LEVEL = ("seed_everything", "model", "data", "callbacks", "trainer")
ARGUMENTS = ("init_args", "dict_kwargs")

_OPEN = {*ARGUMENTS, "callbacks", "trainer"}  # an override may state what the recipe does not, below these


@dataclass(frozen=True)
class Composed:
    """One complete recipe, and where each of its values was said.

    Args:
        values: the recipe as plain data.
        origins: dotted path of each value to `file:line` or `command line`.
    """

    values: dict[str, Any]
    origins: Mapping[str, str]

    def get(self, path: str) -> Any:
        """The value at a dotted path.

        Raises:
            UserError: nothing is there.
        """
        return get_at(self.values, path)

    def set(self, path: str, value: Any, origin: str = COMMAND_LINE) -> "Composed":
        """A copy with `value` at a dotted path, merged as a later source would be.

        Raises:
            UserError: the path leads nowhere.
        """
        merger = _Merger(copy.deepcopy(self.values), dict(self.origins))
        merger.override(path, value, origin)
        return Composed(merger.values, merger.origins)

    def origin(self, path: str) -> str:
        """Where the value at `path`, or else the nearest value around it, was said; empty if nowhere."""
        while path and path not in self.origins:
            path = path.rpartition(".")[0]
        return self.origins.get(path, "")

    def locate(self, path: str) -> str:
        """`file:line: path`, the way error lines begin."""
        said = self.origin(path)
        return f"{said}: {path}" if said else path


def compose(recipes: Sequence[Recipe], overrides: Sequence[tuple[str, str]] = ()) -> Composed:
    """Merge recipes in their order, then overrides `(dotted path, YAML text)` in theirs.

    A path names list items by index (`trainer.callbacks.0`). A text such as `torch.optim.SGD` in place of a
    mapping with a `class_path` names the class.

    Raises:
        UserError: an override leads nowhere or is not YAML; names its path.
    """
    merger = _Merger({}, {})
    for recipe in recipes:
        origins = {path: recipe.origin(path) for path in recipe.lines}
        merger.merge(merger.values, copy.deepcopy(recipe.values), "", origins)
    for path, text in overrides:
        merger.override(path, read_value(text, f"--{path}={text[:60]}"), COMMAND_LINE)
    return Composed(merger.values, merger.origins)


class _Merger:
    """The values so far, changed in place, with the origin of each."""

    def __init__(self, values: dict[str, Any], origins: dict[str, str]) -> None:
        self.values = values
        self.origins = origins

    def merge(self, base: dict[Any, Any], new: dict[Any, Any], path: str, origins: Mapping[str, str]) -> None:
        """Merge `new`, said at `origins`, into `base`, which lies at `path`."""
        if "class_path" in new and "class_path" in base and new["class_path"] != base["class_path"]:
            self._drop_arguments(base, path, keep=COMMAND_LINE if COMMAND_LINE in origins.values() else None)
        for key, value in new.items():
            below = join_path(path, key)
            existing = next((known for known in base if str(known) == str(key)), key)
            old = base.get(existing)
            if isinstance(old, dict) and isinstance(value, dict):
                self.origins[below] = origins.get(below, self.origins.get(below, ""))
                self.merge(old, value, below, origins)
            else:
                self._forget(below)
                base[existing] = value
                self.origins.update((at, origins[at]) for at, _ in walk(value, below) if at in origins)

    def override(self, path: str, value: Any, origin: str) -> None:
        """Set the value at `path`; what is missing on the way is made where that can be meant."""
        *parents, last = path.split(".")
        container: Any = self.values
        walked = ""
        for part in parents:
            self._check_step(container, part, walked, path=path)
            container = self._enter(container, part, walked, path=path)
            walked = join_path(walked, part)
        self._check_step(container, last, walked, path=path)
        key = child_key(container, last)
        old = container[key] if isinstance(container, list) else container.get(key)
        if isinstance(old, dict) and "class_path" in old and isinstance(value, str) and "." in value:
            value = {"class_path": value}
        said = {at: origin for at, _ in walk(value, path)}
        if isinstance(container, list):
            self._forget(path)
            container[key] = value
            self.origins.update(said)
        else:
            self.merge(container, {key: value}, walked, said)

    def _check_step(self, container: Any, part: str, walked: str, *, path: str) -> None:
        if not part:
            raise UserError(f"--{path}: an empty part in the path")
        if isinstance(container, dict):
            return
        if not isinstance(container, list) or not part.isdecimal():
            raise UserError(f"--{path}: {self._describe(walked, container)}, which has no {part}")
        if int(part) >= len(container):
            raise UserError(f"--{path}: {self._describe(walked, container)} of {len(container)}, counted from 0")

    def _enter(self, container: Any, part: str, walked: str, *, path: str) -> Any:
        key = child_key(container, part)
        if isinstance(container, list) or key in container:
            return container[key]
        names = walked.split(".") if walked else []
        if not (part in ARGUMENTS or _OPEN.intersection(names) or (not names and part in TOP_LEVEL)):
            known = TOP_LEVEL if not names else [str(name) for name in container]
            raise UserError(f"--{path}: {walked or 'a recipe'} has no {part}{hint(part, known)}")
        container[key] = {}
        self.origins[join_path(walked, part)] = COMMAND_LINE
        return container[key]

    def _describe(self, walked: str, value: Any) -> str:
        said = self.origins.get(walked, "")
        kind = {dict: "a mapping", list: "a list", type(None): "null"}.get(type(value), repr(value)[:40])
        return f"{walked} is {kind}" + (f" ({said})" if said else "")

    def _drop_arguments(self, base: dict[Any, Any], path: str, *, keep: str | None) -> None:
        for group in ARGUMENTS:
            below = join_path(path, group)
            for key in list(base.get(group) or {}):
                at = join_path(below, key)
                if keep is None or self.origins.get(at) != keep:
                    self._forget(at)
                    del base[group][key]
            if not base.get(group) and group in base:
                self._forget(below)
                del base[group]

    def _forget(self, path: str) -> None:
        for known in [at for at in self.origins if at == path or at.startswith(path + ".")]:
            del self.origins[known]
