"""What does the folder of a run say about it, however the run ended?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml

from lightning_cv.compare.columns import curves_of_events
from lightning_cv.compare.run import Run, WandbPath, settings_monitor
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import MAX_BYTES, display_path, read_recipe
from lightning_cv.recipe.files import _Loader as _RecipeLoader
from lightning_cv.record.progress import FILE_NAME, read_progress
from lightning_cv.record.trial import read_trial_note

RECIPE = "recipe.yaml"
PROVENANCE = "provenance.json"

_TRAINING = ("curve", "validation", "epoch", "resume")


def is_run_folder(path: Path) -> bool:
    """Whether a run wrote here."""
    return (path / RECIPE).is_file() or (path / FILE_NAME).is_file()


def has_trained(path: Path) -> bool:
    """Whether a training was started here, and not just a recipe put."""
    return (path / FILE_NAME).is_file() or ((path / RECIPE).is_file() and (path / PROVENANCE).is_file())


def read_folder(path: Path) -> Run:
    """One run; what is missing or broken in its folder becomes a note, never an error."""
    notes: list[str] = []
    recipe = _recipe(path, notes)
    provenance = _provenance(path, notes)
    events = _events(path, notes)
    training = provenance.get("training")
    training = training if isinstance(training, dict) else {}
    monitor, mode = settings_monitor(recipe)
    if monitor is None:
        monitor, mode = training.get("monitor"), training.get("mode")
    run_id = path.resolve().name
    ended = _ended(events) or {}
    status, error = _verdict(path, ended, anything=bool(events))
    last: dict[str, Any] = next((event for event in reversed(events) if event["event"] in (*_TRAINING, "end")), {})
    return Run(
        source=display_path(path),
        name=path.resolve().parent.name,
        run_id=run_id,
        recipe=recipe,
        seed=_seed(recipe, provenance),
        status=status,
        idle_s=_idle_s(path / FILE_NAME) if status == "unfinished" else None,
        error=error,
        curves=curves_of_events(events),
        steps=last.get("step"),
        epochs=_epochs(last),
        samples=last.get("samples_seen"),
        time_s=last.get("time_s"),
        training=training,
        started=str(provenance.get("started", "")),
        monitor=monitor if isinstance(monitor, str) else None,
        mode=mode if mode in ("min", "max") else None,
        wandb=_wandb(recipe, run_id),
        notes=tuple(notes),
    )


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a recipe's values as `read_recipe` does, but without their lines: six times as fast."""

    yaml_implicit_resolvers = _RecipeLoader.yaml_implicit_resolvers


def _recipe(path: Path, notes: list[str]) -> dict[str, Any] | None:
    file = path / RECIPE
    try:
        text = file.read_bytes()
        # What a program wrote is plain; aliases, which can multiply, and every error are for `read_recipe`.
        values = None if b"&" in text or len(text) > MAX_BYTES else yaml.load(text, _Loader)  # noqa: S506
        if isinstance(values, dict):
            return values
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        pass
    try:
        return read_recipe(file).values
    except UserError as error:
        notes.append(str(error))
        return None


def _provenance(path: Path, notes: list[str]) -> dict[str, Any]:
    file = path / PROVENANCE
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        notes.append(f"{display_path(file)}: cannot be read ({_reason(error)})")
        return {}
    return record if isinstance(record, dict) else {}


def _events(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    file = path / FILE_NAME
    try:
        return read_progress(file)
    except (OSError, ValueError, TypeError) as error:
        notes.append(f"{display_path(file)}: cannot be read ({_reason(error)})")
        return []


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())[:120]


def _ended(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The last end of the training, if nothing was trained after it."""
    for event in reversed(events):
        if event["event"] == "end":
            return event
        if event["event"] in _TRAINING:
            return None
    return None


def _verdict(path: Path, ended: dict[str, Any], *, anything: bool) -> tuple[str, str]:
    """The status and the error: as the training says, but where the sweep whose trial it is ended it otherwise."""
    status = ended.get("status", "completed") if ended else ("unfinished" if anything else "nothing recorded")
    note = read_trial_note(path)
    if note is not None and (note.state == "pruned" or (note.state == "failed" and status != "failed")):
        return note.state, note.reason
    return status, str(ended.get("error", ""))


def _epochs(last: dict[str, Any]) -> int | None:
    """Epochs that were begun, or all of them where the training ended."""
    epoch = last.get("epoch")
    if not isinstance(epoch, int):
        return None
    return epoch if last["event"] == "end" else epoch + 1


def _seed(recipe: dict[str, Any] | None, provenance: dict[str, Any]) -> int | None:
    for seed in ((recipe or {}).get("seed_everything"), provenance.get("seed")):
        if isinstance(seed, int) and not isinstance(seed, bool):
            return seed
    return None


def _idle_s(file: Path) -> float | None:
    try:
        return max(0.0, time.time() - file.stat().st_mtime)
    except OSError:
        return None


def _wandb(recipe: dict[str, Any] | None, run_id: str) -> WandbPath | None:
    """Where the run is in W&B if its recipe keeps it there."""
    trainer = (recipe or {}).get("trainer")
    logger = trainer.get("logger") if isinstance(trainer, dict) else None
    arguments = logger.get("init_args") if isinstance(logger, dict) else None
    if not isinstance(arguments, dict) or "project" not in arguments:
        return None
    return WandbPath(arguments.get("entity"), arguments["project"], arguments.get("id") or run_id)
