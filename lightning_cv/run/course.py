"""Which part of a recipe decides what training computes, and do two recipes agree in it?

A run may go on with more epochs, on other devices, with its data in another place; with another network, rate
or batch it would be another run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

_TRAINER = (
    "accumulate_grad_batches",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "limit_train_batches",
    "overfit_batches",
    "precision",
)
# Where and how fast the data is read.
_OPERATIONAL_DATA = ("download", "keep_on_device", "num_workers", "predict_root", "root")


def course_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a resolved recipe that training depends on."""
    data = recipe.get("data") or {}
    init_args = data.get("init_args") or {}
    trainer = recipe.get("trainer") or {}
    return {
        "seed_everything": recipe.get("seed_everything"),
        "model": recipe.get("model"),
        "data": {**data, "init_args": {k: v for k, v in init_args.items() if k not in _OPERATIONAL_DATA}},
        "trainer": {name: trainer.get(name) for name in _TRAINER},
    }


def course_sha256(recipe: Mapping[str, Any]) -> str:
    """A hash of `course_of` in hexadecimal digits."""
    text = json.dumps(course_of(recipe), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where the courses of two resolved recipes differ: dotted path, value before, value after."""
    old, new = dict(_leaves(course_of(before))), dict(_leaves(course_of(after)))
    return [(path, old.get(path), new.get(path)) for path in sorted({*old, *new}) if old.get(path) != new.get(path)]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value
