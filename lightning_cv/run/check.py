"""Is the composed recipe one that can be built? Asked before any of its objects is made.

What is checked here gives a line with file and line number; what only the parser or a constructor can know
is explained by `parse_errors`. Options that a function takes through `**kwargs` it hands on at run time, as
`timm.create_model` does, are moved from `init_args` to `dict_kwargs`, where the parser expects them: a
recipe just states them in `init_args`.
"""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import jsonargparse
import lightning.pytorch as pl

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import TOP_LEVEL, Composed
from lightning_cv.recipe.imports import REFUSED, ImportPolicy, check_imports
from lightning_cv.recipe.paths import join_path
from lightning_cv.recipe.suggest import did_you_mean, hint
from lightning_cv.run.check_devices import check_devices
from lightning_cv.run.check_options import options_of, takes_code

_SPEC_KEYS = ("class_path", "init_args", "dict_kwargs")


def check(values: dict[str, Any], origins: Mapping[str, str], allowed: ImportPolicy) -> dict[str, Any]:
    """Refuse unknown keys, classes and options, forbidden imports and absent devices.

    Args:
        values: the composed recipe.
        origins: dotted path of each value to where it was said.
        allowed: what the recipe may name.

    Returns:
        The recipe as the parser takes it.

    Raises:
        UserError: the first problem: file and line, key, what was given, what is allowed.
    """
    composed = Composed(copy.deepcopy(values), origins)
    check_imports(composed, allowed)
    _check_sections(composed)
    check_devices(composed)
    _Checker(composed, allowed).check_recipe()
    return composed.values


def restrict_imports(allowed: ImportPolicy) -> None:
    """Give jsonargparse, for the rest of this process, the same list of what may be named.

    It judges every path in a value before it imports it, also in places that only types reveal.
    """
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*", *REFUSED],
        import_path_allowlist=list(allowed.roots),
        instantiate_subclass_spec_in_any=False,
    )


def trainer_options() -> tuple[str, ...]:
    """Names of all options of Lightning's Trainer."""
    return tuple(name for name in inspect.signature(pl.Trainer.__init__).parameters if name != "self")


def _check_sections(composed: Composed) -> None:
    values = composed.values
    for key in values:
        if key not in TOP_LEVEL:
            raise UserError(f"{composed.locate(str(key))} is not a key of a recipe{hint(str(key), TOP_LEVEL)}")
    for key in ("model", "data"):
        if values.get(key) is None:
            where = next(iter(composed.origins.values()), "").rpartition(":")[0]
            raise UserError(f"{where or 'recipe'}: {key} is missing: give {key}: {{class_path: ..., init_args: ...}}")
        if not isinstance(values[key], dict):
            raise UserError(f"{composed.locate(key)} is {values[key]!r:.60}; give {{class_path: ..., init_args: ...}}")
    for key in ("callbacks", "trainer"):
        if not isinstance(values.get(key) or {}, dict):
            example = "ema: {class_path: ...}" if key == "callbacks" else "max_epochs: 10"
            raise UserError(f"{composed.locate(key)} is {_kind(values[key])}; give a mapping such as {{{example}}}")
        if not values.get(key, True):
            del values[key]


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"{value!r:.60}"


class _Checker:
    """Walks the recipe from class to class; moves options to `dict_kwargs` in place."""

    def __init__(self, composed: Composed, policy: ImportPolicy) -> None:
        self._composed = composed
        self._policy = policy

    def check_recipe(self) -> None:
        values = self._composed.values
        for key in ("model", "data"):
            self._check_spec(values[key], key)
        callbacks = values.get("callbacks") or {}
        for name, spec in callbacks.items():
            path = join_path("callbacks", name)
            if spec is None:
                continue
            if not isinstance(spec, dict):
                raise self._error(path, f"is {spec!r:.60}; give {{class_path: ..., init_args: ...}}, or null for none")
            others = [str(other) for other in callbacks if other != name]
            if "class_path" not in spec:
                raise self._error(path, f"has no class_path{did_you_mean(str(name), others)}")
            self._check_spec(spec, path)
        known = trainer_options()
        for key, value in (values.get("trainer") or {}).items():
            path = join_path("trainer", key)
            if key not in known:
                raise self._error(path, f"is not an option of the Trainer{hint(str(key), known)}")
            self._check_value(value, path, options_of(pl.Trainer).annotations.get(str(key)))

    def _check_spec(self, spec: dict[Any, Any], path: str) -> None:
        """One `{class_path, init_args, dict_kwargs}` and everything inside it."""
        for key in spec:
            if key not in _SPEC_KEYS:
                near = did_you_mean(str(key), _SPEC_KEYS)
                raise self._error(join_path(path, key), f"is not allowed here{near or '; options belong in init_args'}")
        if "class_path" not in spec:
            raise self._error(path, "has no class_path")
        for key in _SPEC_KEYS[1:]:
            if not isinstance(spec.get(key) or {}, dict):
                raise self._error(join_path(path, key), f"is {_kind(spec[key])}; give a mapping of options")
            if key in spec and not spec[key]:
                del spec[key]
        target = self._resolve(join_path(path, "class_path"), spec["class_path"])
        if not callable(target):
            raise self._error(join_path(path, "class_path"), f"names {spec['class_path']}, which is not a class")
        options = options_of(target)
        for name in list(spec.get("init_args", ())):
            below = f"{path}.init_args.{name}"
            if name in options.names:
                self._check_value(spec["init_args"][name], below, options.annotations.get(name))
            elif not options.open or not str(name).isidentifier():
                raise self._error(below, f"is not an option of {spec['class_path']}{hint(str(name), options.names)}")
            else:
                self._move(spec, name)

    def _check_value(self, value: Any, path: str, annotation: Any) -> None:
        """Nested classes, and text in places where it names code."""
        if isinstance(value, dict):
            if "class_path" in value or "init_args" in value:
                self._check_spec(value, path)
            else:
                for key, item in value.items():
                    self._check_value(item, join_path(path, key), None)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._check_value(item, join_path(path, index), None)
        elif isinstance(value, str) and not value.isidentifier() and takes_code(annotation):
            self._resolve(path, value)

    def _resolve(self, path: str, named: str) -> Any:
        try:
            return self._policy.resolve(named)
        except UserError as error:
            raise self._error(path, str(error)) from error

    def _move(self, spec: dict[Any, Any], name: str) -> None:
        spec.setdefault("dict_kwargs", {})[name] = spec["init_args"].pop(name)
        if not spec["init_args"]:
            del spec["init_args"]

    def _error(self, path: str, problem: str) -> UserError:
        return UserError(f"{self._composed.locate(path)} {problem}")
