"""How does W&B show a study as a whole: its trials in a table, the best so far, what mattered?

A program too: `python -m lightning_cv.tracking.study SUMMARY.json FOLDER`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb
from lightning.pytorch.utilities import rank_zero_only

from lightning_cv.record.redact import redact
from lightning_cv.tracking.segments import find_segments, mark_as_sent, read_segment
from lightning_cv.tracking.wandb import WandbTracker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lightning_cv.tracking.segments import Segment

AXIS = "trial"
DRAWN = "study/trials"  # in the run's summary: which trials its curves have


def record_study(summary: Mapping[str, Any], folder: Path) -> str | None:
    """Record a study as a W&B run of job type "sweep", online or offline as a training would be.

    Recorded again, the run of this id goes on: table, pictures and summary are new, and its curves get the trials
    that they lack. Trials that end late stand behind later ones there.

    Args:
        summary: "id" of the run; "name", "group", "project", "entity", "mode" as of `WandbTracker` (None: its
            default); "config": settings; "columns" and "rows" of the table of trials; "best": what is said of the
            best trial; "counts": trials by state; "importances": by parameter, or None; "history": {"trial", "score",
            "best"} each; "pictures": files by name.
        folder: where the files of W&B go.

    Returns:
        None, or in one line what could not be recorded. Nothing is raised.
    """
    try:
        mode: Any = summary.get("mode") or "auto"
        tracker = WandbTracker(
            project=summary.get("project") or "lightning_cv",
            name=summary["name"],
            group=summary["group"],
            job_type="sweep",
            mode=mode,
            save_dir=str(folder),
            id=summary["id"],
            entity=summary.get("entity"),
        )
        exit_code = 1
        try:
            problem = _record(tracker, summary, earlier=_earlier_segments(folder, summary["id"]))
            exit_code = 0
        finally:
            tracker.finish(exit_code)
    except Exception as error:
        return _line("the study", error)
    if tracker.directory is None and "disabled" not in (mode, os.environ.get("WANDB_MODE")):
        return "W&B could not record the study: no run could be begun"
    return problem


def _earlier_segments(folder: Path, run_id: str) -> list[Segment]:
    wandb.teardown()  # what this process wrote of the run before is on disk then
    return find_segments(folder, run_id)


def _record(tracker: WandbTracker, summary: Mapping[str, Any], *, earlier: Sequence[Segment]) -> str | None:
    """Record everything; what was left out, in one line."""
    run = tracker.experiment
    if tracker.directory is None:
        return None
    tracker.log_hyperparams(dict(summary["config"]))
    online = tracker.sync_command is None
    drawn = _of_ranges(str(run.summary.get(DRAWN) or "")) if online else _drawn_in(earlier)
    run.define_metric(AXIS)
    run.define_metric("study/*", step_metric=AXIS)
    for point in summary["history"]:
        if point["trial"] not in drawn and point["score"] is not None:
            drawn.add(point["trial"])
            best = {} if point["best"] is None else {"study/best": point["best"]}
            run.log({AXIS: point["trial"], "study/score": point["score"], **best})
    pictures, problem = _pictures(summary.get("pictures") or {})
    run.log({**_tables(run, summary), **pictures})
    facts = {"best": redact(dict(summary["best"])), "counts": dict(summary["counts"]), DRAWN: _as_ranges(drawn)}
    run.summary.update(facts)
    if online:
        mark_as_sent(earlier)
    return problem


def _drawn_in(segments: Iterable[Segment]) -> set[int]:
    rows = (row for segment in segments for row in read_segment(segment).rows)
    return {int(row[AXIS]) for row in rows if AXIS in row and "study/score" in row}


def _tables(run: Any, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The table of trials and the bars of the importances."""
    columns, rows = list(summary["columns"]), redact([list(row) for row in summary["rows"]])
    tables: dict[str, Any] = {"trials": _bound(run, "trials", columns, rows=rows)}
    if summary.get("importances"):
        rows = sorted(([name, float(value)] for name, value in summary["importances"].items()), key=lambda row: -row[1])
        table = _bound(run, "importances_table", ["parameter", "importance"], rows=rows)
        tables["importances"] = wandb.plot.bar(table, "parameter", "importance", title="importance")
    return tables


def _bound(run: Any, key: str, columns: list[str | int], *, rows: Sequence[Sequence[Any]]) -> wandb.Table:
    """A table that is a file of the run.

    W&B would also make an artifact of it, for which it asks the server without a bound, and which offline lies
    outside the run's folder.
    """
    plain = [[cell if isinstance(cell, str | int | float | None) else json.dumps(cell) for cell in row] for row in rows]
    table = wandb.Table(columns=columns, data=plain, allow_mixed_types=True)
    table.bind_to_run(run, key, run.step)
    return table


def _pictures(files: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The pictures that can be read, and a line on the others."""
    pictures, problem = {}, None
    for name, path in files.items():
        try:
            pictures[f"pictures/{name}"] = wandb.Image(os.fspath(path))
        except Exception as error:
            problem = _line(f"the picture {name}", error)
    return pictures, problem


def _as_ranges(numbers: Iterable[int]) -> str:
    """`0-4,7` for 0, 1, 2, 3, 4, 7."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _of_ranges(text: str) -> set[int]:
    found = re.findall(r"(\d+)(?:-(\d+))?", text)
    return {number for first, last in found for number in range(int(first), int(last or first) + 1)}


def _line(what: str, error: Exception) -> str:
    return f"W&B could not record {what} ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"


def main(arguments: Sequence[str]) -> int:
    """Record the study of a summary in a JSON file; what could not be recorded goes to stderr, and the status is 1."""
    file, folder = arguments
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # this process alone records, whatever place in a cluster's job it was started in
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    try:
        problem = record_study(json.loads(Path(file).read_bytes()), Path(folder))
    except (OSError, ValueError) as error:
        problem = _line(file, error)
    if problem is not None:
        print(problem, file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
