"""What do the files of an offline W&B run say, whoever wrote them?

Read by `wandb-core leet inspect`, W&B's own documented reader. A run that was resumed offline has a directory
for each of its parts, all with one id: they become one run here.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning_cv.compare.rows import Row, curves_of_rows
from lightning_cv.compare.run import Run, WandbPath, settings_monitor
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.record.wandb_file import read_records


def is_offline_run(path: Path) -> bool:
    """Whether this directory holds the file of one W&B run."""
    return path.is_dir() and any(path.glob("run-*.wandb"))


def segment_id(path: Path) -> str:
    """The id of the run that a directory holds a part of: from the name of its file."""
    return next(path.glob("run-*.wandb")).stem.removeprefix("run-")


def read_offline(segments: Sequence[Path]) -> Run:
    """One run from the directories of its parts, in any order; a part that cannot be read becomes a note.

    A later part takes back what an earlier one tells of steps from its own first step on: it was resumed from
    a checkpoint before them. Where no part knows the trainer's step, their rows are counted through.

    Raises:
        UserError: this installation of W&B has no reader.
    """
    notes: list[str] = []
    parts = _parts(segments, notes)
    rows: list[Row] = []
    for records in parts:
        _append(rows, records)
    head, ended = (_first(parts[-1], kind) if parts else {} for kind in ("run", "exit"))
    recipe = _settings(parts)
    monitor, mode = settings_monitor(recipe)
    run_id = head.get("run_id") or segment_id(segments[0])
    last = rows[-1] if rows else None
    return Run(
        source=display_path(segments[-1]),
        name=head.get("display_name") or run_id,
        run_id=run_id,
        recipe=recipe,
        seed=_seed(recipe),
        status=_status(ended, bool(rows)),
        idle_s=None if ended or not rows else _idle_s(segments),
        curves=curves_of_rows(rows),
        steps=None if last is None else last.step,
        epochs=None if last is None or math.isnan(last.epoch) else int(last.epoch) + 1,
        time_s=None if last is None else last.time_s,
        started=str(_first(parts[0], "run").get("start_time", "")) if parts else "",
        monitor=monitor,
        mode=mode,
        wandb=WandbPath(head.get("entity") or None, head.get("project") or None, run_id),
        notes=tuple(notes),
    )


def _parts(segments: Sequence[Path], notes: list[str]) -> list[list[dict[str, Any]]]:
    """The records of each part that can be read, in the order in which the parts began."""
    found = []
    for path in segments:
        records = _records(next(path.glob("run-*.wandb")), notes)
        if records is not None:
            found.append((str(_first(records, "run").get("start_time", "")), path.name, records))
    found.sort(key=lambda part: part[:2])
    return [records for _, _, records in found]


def _append(rows: list[Row], records: Sequence[dict[str, Any]]) -> None:
    """Add the rows of a later part."""
    items = [record["history"]["item"] for record in records if record.get("type") == "history"]
    added = [row for row in (Row.of(item) for item in items) if row is not None]
    if not added:
        return
    offset_s = rows[-1].time_s if rows else 0.0
    if all(row.of_trainer for row in (*rows, *added)):
        rows[:] = [row for row in rows if row.step < added[0].step]
        offset = 0
    else:
        offset = rows[-1].step + 1 if rows else 0
    rows += [row.shifted(steps=offset, time_s=offset_s) for row in added]


def _records(file: Path, notes: list[str]) -> list[dict[str, Any]] | None:
    """All records of one file up to the first that is torn; None, with a note, if there is none."""
    try:
        records = read_records(file)
    except FileNotFoundError:
        raise UserError("offline W&B runs are read by wandb-core, which this installation of wandb lacks") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        notes.append(f"{display_path(file)}: cannot be read ({type(error).__name__})")
        return None
    if not _first(records, "run"):
        notes.append(f"{display_path(file)}: holds no run; it was killed before W&B wrote anything")
        return None
    return records


def _first(records: Iterable[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((record.get(kind) or {} for record in records if record.get("type") == kind), {})


def _settings(parts: Iterable[Iterable[dict[str, Any]]]) -> dict[str, Any]:
    """The settings of the run: those of later parts, and of later calls, win key by key."""
    settings: dict[str, Any] = {}
    for records in parts:
        for record in records:
            changed = (
                record.get("config") if record.get("type") == "config" else (record.get("run") or {}).get("config")
            )
            if not isinstance(changed, dict):
                continue
            settings.update(changed.get("update") or {})
            for key in changed.get("remove") or []:
                settings.pop(key, None)
    return {key: value for key, value in settings.items() if key != "_wandb"}


def _seed(recipe: dict[str, Any]) -> int | None:
    seed = recipe.get("seed_everything", recipe.get("seed"))
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def _status(ended: dict[str, Any], has_rows: bool) -> str:
    if ended:
        return "failed" if ended.get("exit_code") else "completed"
    return "unfinished" if has_rows else "nothing recorded"


def _idle_s(segments: Sequence[Path]) -> float | None:
    try:
        written = max(file.stat().st_mtime for path in segments for file in path.glob("run-*.wandb"))
    except OSError:
        return None
    return max(0.0, time.time() - written)
