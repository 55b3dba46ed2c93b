"""In which settings do runs differ, and which of the differences are no part of the training?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lightning_cv.recipe.paths import join_path

SEED = "seed_everything"
ABSENT = "—"  # the settings of this run have no such key

# Where output goes and what is shown of it: beginnings of dotted paths.
_OPERATIONS = (
    "trainer.logger",
    "trainer.default_root_dir",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
    "callbacks.progress",
    "trial",  # which one of a sweep, in W&B's config
)
_FOLDERS = (
    "root",
    "data_dir",
    "root_dir",
    "data_root",
)  # of two such paths with one last part only the machine differs
_OUTPUTS = ("save_dir", "dirpath", "cache_dir")


@dataclass(frozen=True)
class Differences:
    """What differs.

    Args:
        keys: dotted paths whose values differ, in the order of the recipes.
        of_classes: those of `keys` that stand below a class that differs too and that not every class has.
        ignored: dotted paths that differ as mere operations: where output goes, how it is shown.
        values: for each run its value at every path of `keys`; ABSENT where it has none.
    """

    keys: tuple[str, ...]
    of_classes: frozenset[str]
    ignored: tuple[str, ...]
    values: tuple[Mapping[str, Any], ...]


def differences(recipes: Sequence[Mapping[str, Any] | None]) -> Differences:
    """Where recipes differ; one that could not be read (None) differs nowhere and has no values."""
    flat = [None if recipe is None else dict(leaves(recipe)) for recipe in recipes]
    known = [values for values in flat if values is not None]
    paths = dict.fromkeys(path for values in known for path in values)
    differing = [path for path in paths if len({_frozen(values.get(path, ABSENT)) for values in known}) > 1]
    ignored = [path for path in differing if is_operation(path, [values[path] for values in known if path in values])]
    keys = [path for path in differing if path not in ignored]
    classes = [path.removesuffix("class_path") for path in keys if path.endswith("class_path")]
    of_classes = frozenset(
        path
        for path in keys
        if any(path.startswith(f"{parent}init_args") for parent in classes)
        and any(path not in values for values in known)
    )
    chosen = tuple({key: values.get(key, ABSENT) for key in keys} if values is not None else {} for values in flat)
    return Differences(tuple(keys), of_classes, tuple(ignored), chosen)


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a recipe with its dotted path; a list that holds no mapping is one value."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from leaves(value, join_path(path, key))
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        for index, value in enumerate(values):
            yield from leaves(value, join_path(path, index))
    elif path:
        yield path, values


def is_operation(path: str, values: Sequence[Any]) -> bool:
    """Whether these values at a path say where output goes or data lies, and nothing of the training."""
    if any(path == start or path.startswith(f"{start}.") for start in _OPERATIONS):
        return True
    name = path.rpartition(".")[2]
    if name in _OUTPUTS:
        return True
    return name in _FOLDERS and len({PurePath(str(value)).name for value in values}) == 1


def fingerprint(recipe: Mapping[str, Any], ignored: Sequence[str]) -> str:
    """A text that two recipes share if they differ in nothing but the seed and what is ignored."""
    left_out = {SEED, *ignored}
    return json.dumps({path: _frozen(value) for path, value in leaves(recipe) if path not in left_out}, sort_keys=True)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """A short name for each dotted path: without `init_args`, the last two parts where these are unique."""
    plain = {key: [part for part in key.split(".") if part not in ("init_args", "class_path")] or [key] for key in keys}
    names = {key: "seed" if key == SEED else ".".join(_last_parts(parts)) for key, parts in plain.items()}
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else ".".join(plain[key]) for key, name in names.items()}


def _last_parts(parts: Sequence[str]) -> Sequence[str]:
    """Two, or three where the first of them would be a mere place in a list."""
    return parts[-3:] if len(parts) > 2 and parts[-2].isdecimal() else parts[-2:]


def short_value(value: Any) -> str:
    """A value of a recipe as short text; of a class path the class."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value.rpartition(".")[2] if _is_class(value) else value
    return json.dumps(value, default=str)


def _is_class(text: str) -> bool:
    return "." in text and all(part.isidentifier() for part in text.split("."))


def _frozen(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    """The value, with 1.0 as 1: one number, which some formats write one way and some the other."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
