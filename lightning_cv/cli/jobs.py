"""How does a user see what became of submitted jobs, and end one?"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lightning_cv.errors import DONE, UserError
from lightning_cv.launch.cluster.jobs import Row, rows_of
from lightning_cv.launch.cluster.records import Record, find_task, read_records
from lightning_cv.launch.cluster.slurm import cancel
from lightning_cv.launch.cluster.squeue import JobState, accounted, queued
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.suggest import hint

HELP = """\
usage: lightning-cv jobs [--runs-dir DIR] [--all] [--json]
       lightning-cv jobs cancel JOB... [--runs-dir DIR]

Show the jobs that lightning-cv submit started for a folder of runs: number, state, machine, elapsed time and limit,
best score so far, run, and the last line of the log. SLURM's states are in capitals; small letters tell what the run
itself says of its end. cancel ends jobs, or one task of an array (1234_0), as Ctrl-C would: with a snapshot.

  --runs-dir DIR   folder of all runs (default: runs)
  --all            every submission (default: the last 20)
  --json           for programs

examples:
  lightning-cv jobs
  lightning-cv jobs cancel 1234 1235_0"""

_SHOWN = 20
_HEADS = ("job", "name", "state", "machine", "time", "best", "run")


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return DONE
    words, runs_dir, switches = _read(arguments)
    records = read_records(runs_dir)
    if words[:1] == ["cancel"]:
        return _cancel(words[1:], records)
    if words:
        raise UserError(f"{words[0]} is not an action of jobs{hint(words[0], ['cancel'])}")
    shown = records if "--all" in switches else records[-_SHOWN:]
    states, problem = _states(shown)
    rows = [row for record in shown for row in rows_of(record, states)]
    if "--json" in switches:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return DONE
    if problem:
        print(f"SLURM     {problem}; shown is what the runs tell", file=sys.stderr)
    if not rows:
        print(f"no jobs in {display_path(runs_dir)}; lightning-cv submit starts some")
        return DONE
    if len(shown) < len(records):
        print(f"the last {len(shown)} of {len(records)} submissions; --all shows every one", file=sys.stderr)
    print("\n".join(_table(rows)))
    return DONE


def _read(arguments: Sequence[str]) -> tuple[list[str], Path, set[str]]:
    """The words, the folder of runs, and the switches."""
    words, switches, runs_dir = [], set(), Path("runs")
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, given, text = argument.partition("=")
        if name == "--runs-dir":
            value = text if given else rest.pop(0) if rest else ""
            if not value:
                raise UserError("--runs-dir needs a value: --runs-dir=DIR")
            runs_dir = Path(value)
        elif argument in ("--all", "--json"):
            switches.add(argument)
        elif argument.startswith("-"):
            raise UserError(f"{argument} is not an option of jobs{hint(name, ['--runs-dir', '--all', '--json'])}")
        else:
            words.append(argument)
    return words, runs_dir, switches


def _cancel(words: list[str], records: list[Record]) -> int:
    if not words:
        raise UserError("jobs cancel needs the number of a job, from lightning-cv jobs")
    for word in words:
        find_task(records, word)
    cancel(words)
    print(f"cancelled {', '.join(words)}; a run that had started goes on with lightning-cv fit --resume RUN")
    return DONE


def _states(records: list[Record]) -> tuple[dict[str, JobState], str]:
    """What SLURM says of the jobs, and why it says nothing."""
    if shutil.which("squeue") is None:
        return {}, "is not on this machine (no squeue)"
    try:
        states = queued()
    except UserError as error:
        return {}, f"gives no answer ({error!s:.200})"
    ended = [record.job for record in records if record.job and not _is_known(record, states)]
    return {**accounted(ended), **states}, ""


def _is_known(record: Record, states: dict[str, JobState]) -> bool:
    return all(record.task_id(task) in states for task in range(len(record.logs)))


def _table(rows: list[Row]) -> list[str]:
    """A line a job under its heads, and below it the last line of its log."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADS))]
    used = [column for column in range(len(_HEADS)) if any(line[column] for line in cells[1:])]
    width = shutil.get_terminal_size((120, 24)).columns
    lines = []
    for index, line in enumerate(cells):
        lines.append("  ".join(f"{line[column]:<{widths[column]}}" for column in used).rstrip())
        if index > 0 and rows[index - 1].said:
            lines.append(f"    {rows[index - 1].said[: max(20, width - 4)]}")
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    return (row.job, row.name, row.state, row.nodes, row.time, row.best, display_path(Path(row.run)))
