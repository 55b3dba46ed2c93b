"""What does a training know of the sweep whose trial it is, and what does the sweep learn of the training?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_cv.record.atomic import write_text_atomically

NOTE = "trial.json"
LIVE = "live.json"

_SHOWN = 80  # characters of a value in a line for people


@dataclass(frozen=True)
class TrialNote:
    """What the sweep says in `trial.json` in the folder of a trial's run, before it starts the run.

    Args:
        study: name of the study, the group of its trials in W&B.
        number: of the trial, from 0.
        job_type: what kind of run it is in its group.
        values: what was sampled, by dotted path, as it stands in the recipe: of a class a mapping with `class_path`.
        state: "running", or how the sweep ended the trial: "complete", "pruned", "failed" ...
        reason: why it was pruned or failed, one line; empty otherwise.
    """

    study: str
    number: int
    job_type: str
    values: Mapping[str, Any]
    state: str = "running"
    reason: str = ""


@dataclass(frozen=True)
class LiveNote:
    """What the training says in `live.json` once it has started.

    Args:
        values: what is live in the objects that train, by dotted path; in a class only what could be found.
        unknown: paths of which nothing can be found.
        total_steps: optimizer steps of the whole training; None: without end, or unknown.
        steps_per_epoch: optimizer steps of an epoch; None: unknown.
        pid: of the first process.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    pid: int = 0


def write_trial_note(folder: Path, note: TrialNote) -> None:
    """Write `trial.json`; whoever reads it meanwhile finds the one before or this one.

    Raises:
        OSError: it cannot be written.
    """
    _write(folder / NOTE, {**vars(note), "values": dict(note.values)})


def read_trial_note(folder: Path) -> TrialNote | None:
    """What `trial.json` in this folder says; None: there is none, or it is damaged."""
    content = _read(folder / NOTE)
    note = TrialNote(
        study=content.get("study", ""),
        number=content.get("number", -1),
        job_type=content.get("job_type", "trial"),
        values=content.get("values", {}),
        state=content.get("state", "running"),
        reason=content.get("reason", ""),
    )
    texts = (note.study, note.job_type, note.state, note.reason)
    sound = all(isinstance(text, str) for text in texts) and isinstance(note.values, dict)
    return note if sound and note.study and _is_count(note.number) else None


def write_live_note(folder: Path, live: LiveNote) -> None:
    """Write `live.json`.

    Raises:
        OSError: it cannot be written.
        TypeError: a value is no plain data.
    """
    _write(folder / LIVE, {**vars(live), "values": dict(live.values)})


def read_live_note(folder: Path) -> LiveNote | None:
    """What `live.json` in this folder says; None: training has not started yet, or the file is damaged."""
    content = _read(folder / LIVE)
    values, unknown, pid = content.get("values"), content.get("unknown"), content.get("pid")
    if not isinstance(values, dict) or not isinstance(unknown, list) or not isinstance(pid, int):
        return None
    steps = [content.get(name) for name in ("total_steps", "steps_per_epoch")]
    total_steps, steps_per_epoch = (number if _is_count(number) else None for number in steps)
    return LiveNote(values, tuple(map(str, unknown)), total_steps, steps_per_epoch, pid)


def contradictions(values: Mapping[str, Any], live: LiveNote) -> list[str]:
    """One line for each sampled value that differs from the live one; what is not known to be live differs nowhere.

    Numbers are one up to a relative difference of 1e-9, whether written `1` or `1.0`; `true` is not 1. Of a class
    its path and the arguments that were sampled count, in a mapping the keys that were.
    """
    found = (_difference(path, value, live.values[path]) for path, value in values.items() if path in live.values)
    return [f"{path}: sampled {_text(sampled)}, live {_text(alive)}" for path, sampled, alive in filter(None, found)]


_Difference = tuple[str, Any, Any]  # where, sampled, live


def _difference(path: str, sampled: Any, live: Any) -> _Difference | None:
    """The first place at or below `path` where the two differ."""
    if isinstance(sampled, str) and isinstance(live, Mapping):
        live = live.get("class_path", sampled)
    if isinstance(sampled, Mapping) and isinstance(live, Mapping):
        pairs = _shared({str(key): value for key, value in sampled.items()}, live)
        return _first(_difference(f"{path}.{key}", one, other) for key, one, other in pairs)
    if isinstance(sampled, list | tuple) and isinstance(live, list | tuple):
        return _of_lists(path, sampled, live)
    return None if _same(sampled, live) else (path, sampled, live)


def _shared(sampled: Mapping[str, Any], live: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What both have, with its key: of two classes nothing but their paths."""
    pairs = [(key, value, live[key]) for key, value in sampled.items() if key in live]
    classes = [(key, one, other) for key, one, other in pairs if key == "class_path" and one != other]
    return classes or pairs


def _of_lists(path: str, sampled: list[Any] | tuple[Any, ...], live: list[Any] | tuple[Any, ...]) -> _Difference | None:
    """Lists of plain values differ as a whole, those of classes in one of their items."""
    if len(sampled) != len(live):
        return path, sampled, live
    pairs = enumerate(zip(sampled, live, strict=True))
    first = _first(_difference(f"{path}.{index}", one, other) for index, (one, other) in pairs)
    inside = any(isinstance(item, Mapping) for item in sampled)
    return first if first is None or inside else (path, sampled, live)


def _first(found: Iterable[_Difference | None]) -> _Difference | None:
    return next((difference for difference in found if difference is not None), None)


def _same(sampled: Any, live: Any) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (sampled, live)]
    if all(numbers):
        if isinstance(sampled, int) and isinstance(live, int):
            return sampled == live
        both_nan = math.isnan(sampled) and math.isnan(live)
        return both_nan or math.isclose(sampled, live, rel_tol=1e-9, abs_tol=0.0)
    return type(sampled) is type(live) and bool(sampled == live)


def _text(value: Any) -> str:
    """A value as a recipe would say it, of a class its path."""
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"])
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty: there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
