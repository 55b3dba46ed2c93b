"""What is written down of a submission, so that its jobs can be found again?"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.launch.alive import process_mark
from lightning_cv.launch.cluster.job import JOBS, Job
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.record.redact import redact_command

RECORD = "job.json"
SCRIPT = "job.sh"
_TASK = re.compile(r"([0-9]+)(?:_([0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One submission.

    Args:
        key: of the submission.
        name: of the run or study.
        kind: what it is, see `Job`.
        job: SLURM's number; empty: it runs, or ran, on a machine without SLURM.
        submitted: when, in ISO 8601.
        command: the words of the user, without secrets.
        runs: folders of its runs by task, as far as they are known.
        parent: folder that they go to.
        logs: files by task.
        host: where it was submitted.
        process: mark of the process that runs it, where SLURM does not; empty: SLURM, or nobody here.
        limit: time limit, as it was asked for.
    """

    key: str
    name: str
    kind: str
    job: str
    submitted: str
    command: tuple[str, ...]
    runs: tuple[str, ...]
    parent: str
    logs: tuple[str, ...]
    host: str
    process: str = ""
    limit: str = ""

    def task_id(self, task: int) -> str:
        """SLURM's number of one task."""
        return f"{self.job}_{task}" if self.kind != "fit" else self.job


def folder_of(runs_dir: Path, key: str) -> Path:
    """Where script, recipe and record of a submission lie."""
    return runs_dir / JOBS / key


def write_record(runs_dir: Path, job: Job, *, number: str, argv: list[str], limit: str | None) -> None:
    """Write down a submission.

    Args:
        runs_dir: folder of all runs.
        job: what was submitted.
        number: SLURM's; empty: this process runs it.
        argv: the words of the user.
        limit: the time limit that was asked for.

    Raises:
        UserError: it cannot be written.
    """
    record = Record(
        key=job.key,
        name=job.name,
        kind=job.kind,
        job=number,
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(redact_command(argv)),
        runs=tuple(map(str, job.runs)),
        parent=str(job.parent),
        logs=tuple(str(job.log(task)) for task in range(job.tasks)) if number else (),
        host=socket.gethostname(),
        process="" if number else process_mark(os.getpid()),
        limit=limit or "",
    )
    path = folder_of(runs_dir, job.key) / RECORD
    try:
        write_text_atomically(path, json.dumps(asdict(record), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def read_records(runs_dir: Path) -> list[Record]:
    """The submissions below a folder of runs, the oldest first; damaged records are passed over."""
    found = [record for path in (runs_dir / JOBS).glob(f"*/{RECORD}") if (record := _read(path)) is not None]
    return sorted(found, key=lambda record: (record.submitted, record.key))


def find_task(records: list[Record], word: str) -> tuple[Record, int | None]:
    """The submission, and the task, that a number of SLURM means; None: all of its tasks.

    Raises:
        UserError: none of them does.
    """
    match = _TASK.fullmatch(word)
    if match is None:
        raise UserError(f"{word}: no number of a job; give one from lightning-cv jobs, such as 1234 or 1234_0")
    record = next((record for record in records if record.job == match[1]), None)
    task = int(match[2]) if match[2] else None
    if record is None or (task is not None and (record.kind == "fit" or task >= len(record.logs))):
        known = ", ".join(record.job for record in records[-10:] if record.job) or "none"
        raise UserError(f"{word}: no job that was submitted for this folder of runs; known: {known}")
    return record, task


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    values: Mapping[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    try:
        record = Record(**{field.name: values[field.name] for field in fields(Record) if field.name in values})
    except TypeError:
        return None
    texts = (getattr(record, field.name) for field in fields(Record))
    sound = all(isinstance(v, str) or (isinstance(v, tuple) and all(isinstance(t, str) for t in v)) for v in texts)
    return record if sound else None
