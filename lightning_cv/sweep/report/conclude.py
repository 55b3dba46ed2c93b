"""What is left behind once all trials of a study have come to an end?"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_cv.recipe.files import display_path
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.sweep.definition.file import plain_sweep
from lightning_cv.sweep.engine.results import StudyResults
from lightning_cv.sweep.engine.study import StudyPlace
from lightning_cv.sweep.report.importance import importances
from lightning_cv.sweep.report.pictures import draw
from lightning_cv.sweep.report.printed import print_results, to_csv

REPORT = "report"
_SHOWN = 20  # trials in the table; all of them are in the CSV
_RECORD_WITHIN_S = 180.0


def conclude(place: StudyPlace, console: Console) -> None:
    """Print the table, write it and the pictures below the study's folder, and record the study in W&B."""
    results = place.results()
    folder = place.folder / REPORT
    folder.mkdir(exist_ok=True)
    # Files first: whoever reads the table may leave before its end.
    write_text_atomically(folder / "trials.csv", to_csv(results))
    drawn = draw(results, folder)
    problem = _record(place, results, drawn)
    print_results(console, results, limit=_SHOWN)
    if problem:
        print(f"warning: the study is not recorded in W&B: {problem}", file=sys.stderr)
    name = shlex.quote(display_path(place.folder))
    print(f"\nreport    {display_path(folder)}: trials.csv, {', '.join(path.name for path in drawn)}")
    print(f"confirm   lightning-cv sweep confirm {name}")
    print(f"compare   lightning-cv compare {name}")


def _record(place: StudyPlace, results: StudyResults, pictures: list[Path]) -> str | None:
    """Have W&B keep the study as a run of its own; why it does not, or None."""
    trainer = place.sweep.composed.values.get("trainer") or {}
    logger = trainer.get("logger", True)
    if logger in (False, None) or os.environ.get("WANDB_MODE") == "disabled":
        return None
    arguments = logger.get("init_args", {}) if isinstance(logger, dict) else {}
    summary = place.folder / REPORT / "summary.json"
    write_text_atomically(summary, json.dumps(summarize(place, results, pictures, arguments), indent=1))
    # In a hidden folder: what is compared below the study's folder are its trials.
    command = [sys.executable, "-P", "-m", "lightning_cv.tracking.study", str(summary), str(place.folder / ".study")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RECORD_WITHIN_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    said = (done.stderr or done.stdout).strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit status {done.returncode}")


def summarize(
    place: StudyPlace, results: StudyResults, pictures: list[Path], arguments: dict[str, Any]
) -> dict[str, Any]:
    """What is recorded of a study as a whole, see `lightning_cv.tracking.study`."""
    sweep = place.sweep
    metrics = [objective.metric for objective in sweep.objectives]
    rows = [
        [
            trial.number,
            trial.state,
            *(trial.values.get(path) for path in sweep.space.paths),
            *(trial.scores or [None] * len(metrics)),
            trial.reason,
        ]
        for trial in results.trials
    ]
    best = results.ranked()[:1]
    states = [trial.state for trial in results.trials]
    return {
        "id": f"sweep-{place.uid}",
        "name": sweep.name,
        "group": sweep.name,
        "project": arguments.get("project", "lightning_cv"),
        "entity": arguments.get("entity"),
        "mode": arguments.get("mode"),
        "config": plain_sweep(sweep, recipe=sweep.recipe),
        "columns": ["trial", "state", *sweep.space.paths, *metrics, "reason"],
        "rows": rows,
        "best": dict(zip(metrics, best[0].scores or (), strict=True)) | {"trial": best[0].number} if best else {},
        "counts": {state: states.count(state) for state in dict.fromkeys(states)},
        "importances": importances(results),
        "history": _history(results),
        "pictures": {path.stem: str(path) for path in pictures},
    }


def _history(results: StudyResults) -> list[dict[str, Any]]:
    """The first objective of each complete trial, and the best up to there."""
    better = max if results.sweep.objectives[0].mode == "max" else min
    points: list[dict[str, Any]] = []
    for trial in results.complete:
        assert trial.scores is not None
        score = trial.scores[0]
        best = better(score, points[-1]["best"]) if points else score
        points.append({"trial": trial.number, "score": score, "best": best})
    return points
