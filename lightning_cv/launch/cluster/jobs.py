"""What became of the jobs that were submitted: where do they run, what do they say, how good are their runs?"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_cv.launch.alive import is_alive
from lightning_cv.launch.cluster.earlier import last_events, read_json
from lightning_cv.launch.cluster.limits import show_time
from lightning_cv.launch.cluster.records import Record
from lightning_cv.launch.cluster.squeue import JobState
from lightning_cv.record.progress import FILE_NAME, read_progress
from lightning_cv.record.trial import NOTE, read_trial_note

_TAIL_BYTES = 1 << 13
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One job, or one task of an array.

    Args:
        job: SLURM's number, or `local`.
        name: of the run or study.
        state: SLURM's in capitals; what the run itself tells in small letters.
        nodes: where it runs; empty: nowhere.
        time: elapsed and limit.
        best: the best score so far, or how the trials of a search stand; empty: nothing yet.
        run: its folder.
        said: last line of its log.
    """

    job: str
    name: str
    state: str
    nodes: str
    time: str
    best: str
    run: str
    said: str


def rows_of(record: Record, states: Mapping[str, JobState]) -> list[Row]:
    """The jobs of a submission.

    Args:
        record: the submission.
        states: what SLURM says, by number.
    """
    tasks = max(len(record.logs), len(record.runs), 1)
    return [_row(record, task, states) for task in range(tasks)]


def last_line(log: Path) -> str:
    """The last line in a log that says something, without colours; empty: there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    # A progress bar writes its line again and again.
    lines = (_CODES.sub("", line.rpartition("\r")[2]).strip() for line in reversed(re.split(r"\r?\n", text)))
    return next((line for line in lines if line), "")


def best_score(run: Path) -> str:
    """The best validation of a run so far, such as `val/accuracy 0.9722 @ 63`; empty: none yet."""
    training = read_json(run / "provenance.json").get("training")
    monitor, mode = (training.get("monitor"), training.get("mode")) if isinstance(training, dict) else (None, None)
    if not isinstance(monitor, str) or not (run / FILE_NAME).is_file():
        return ""
    try:
        events = [event for event in read_progress(run) if event["event"] == "validation"]
    except OSError:
        return ""
    scored = [
        (event["metrics"][monitor], event["step"]) for event in events if _is_number(event["metrics"].get(monitor))
    ]
    if not scored:
        return ""
    value, step = (max if mode == "max" else min)(scored, key=lambda pair: pair[0])
    return f"{monitor} {value:.4g} @ {step}"


def trials_so_far(study: Path) -> str:
    """How the trials of a search stand, by their folders; empty: none has begun."""
    notes = [note for path in study.glob(f"*/{NOTE}") if (note := read_trial_note(path.parent)) is not None]
    counts = Counter(note.state for note in notes)
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))


def _row(record: Record, task: int, states: Mapping[str, JobState]) -> Row:
    job = record.task_id(task) if record.job else "local"
    known = states.get(job) if record.job else None
    run = Path(record.runs[task]) if task < len(record.runs) else Path(record.parent)
    ended = last_events(run / FILE_NAME) if record.runs else []
    elapsed = known.elapsed if known else (show_time(ended[0].get("time_s", 0.0)) if ended else "")
    limit = (known.limit if known else "") or record.limit
    return Row(
        job=job,
        name=record.name,
        state=_state(record, known, ended),
        nodes=known.nodes if known else ("" if record.job else record.host),
        time=f"{elapsed} / {limit}" if limit else elapsed,
        best=best_score(run) if record.runs else trials_so_far(run),
        run=str(run),
        said=last_line(Path(record.logs[task])) if task < len(record.logs) else "",
    )


def _state(record: Record, known: JobState | None, ended: list[dict[str, Any]]) -> str:
    if known is not None:
        waits = known.state == "PENDING" and known.reason
        return f"{known.state} ({known.reason})" if waits else known.state
    if record.process and is_alive(record.process):
        return "running"
    status = next((event.get("status") for event in ended if event["event"] in ("end", "resume")), None)
    return str(status) if status else "unknown" if record.job or not ended else "stopped"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
