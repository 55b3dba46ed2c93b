"""Which state are the jobs of this user in, and where do they run?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.slurm import SEPARATOR, ask

_SQUEUE = ("%i", "%T", "%N", "%M", "%l", "%r")
_SACCT = ("JobID", "State", "NodeList", "Elapsed", "Timelimit")
_NOWHERE = ("None", "None assigned", "(null)", "n/a", "")


@dataclass(frozen=True)
class JobState:
    """What SLURM says of a job, or of one task of an array.

    Args:
        job: its number; of a task `number_task`.
        state: in SLURM's words, such as RUNNING.
        nodes: machines, as SLURM lists them; empty: none.
        elapsed: since its last start.
        limit: how long it may run.
        reason: why it waits; empty: it does not.
    """

    job: str
    state: str
    nodes: str = ""
    elapsed: str = ""
    limit: str = ""
    reason: str = ""


def queued() -> dict[str, JobState]:
    """The jobs of this user that wait or run, and those that ended a short while ago, by their numbers.

    Raises:
        UserError: SLURM gives no answer.
    """
    form = SEPARATOR.join(_SQUEUE)
    text = ask(["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--format={form}"])
    found = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(SEPARATOR)]
        if len(parts) == len(_SQUEUE):
            job, state, nodes, elapsed, limit, reason = (_known(part) for part in parts)
            found[job] = JobState(job, state, nodes, elapsed, limit, reason)
    return found


def accounted(jobs: Sequence[str]) -> dict[str, JobState]:
    """What SLURM's accounting knows of jobs that have ended, by their numbers; empty: it keeps none, or is away."""
    if not jobs or shutil.which("sacct") is None:
        return {}
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--array", f"--delimiter={SEPARATOR}"]
    try:
        text = ask([*words, f"--format={','.join(_SACCT)}", f"--jobs={','.join(jobs)}"])
    except UserError:
        return {}
    found = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(SEPARATOR)]
        if len(parts) == len(_SACCT):
            job, state, nodes, elapsed, limit = (_known(part) for part in parts)
            found[job] = JobState(job, state.partition(" ")[0], nodes, elapsed, limit)  # "CANCELLED by 1000"
    return found


def _known(text: str) -> str:
    return "" if text in _NOWHERE else text
