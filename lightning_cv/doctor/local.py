"""How are several ranks started on this machine, and what came of them?"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_cv.doctor.place import Place, places_here
from lightning_cv.doctor.rank_report import RankReport, read_report
from lightning_cv.launch.programs import Command, Program, Programs

# Loads torch, so it is known by name only; forked from a process that has.
RANK = "lightning_cv.doctor.rank"
POLL_S = 0.5
GRACE_POLLS = 20
_AT_MOST = 10  # times the time-out: by then the ranks' own watch has ended them, unless all of them were stopped
_THREADS = "OMP_NUM_THREADS"


def run_here(number: int, *, cpu: bool, timeout_s: float, num_cores: int, poll_s: float = POLL_S) -> RankReport:
    """Start ranks on this machine, and wait for their report.

    Args:
        number: of ranks.
        cpu: whether they use CPUs also where there are GPUs.
        timeout_s: how long each waits for another.
        num_cores: cores that they share.
        poll_s: how often they are looked at.
    """
    with tempfile.TemporaryDirectory(prefix="lightning-cv-doctor-") as name:
        folder = Path(name)
        environ = {"TORCH_CPP_LOG_LEVEL": "FATAL"}  # what c10d says of a lost connection fills pages
        if _THREADS not in os.environ:
            environ[_THREADS] = str(max(1, num_cores // number))
        programs = Programs([RANK], environ=environ, log=folder / "server.log")
        terms = json.dumps({"cpu": cpu, "timeout_s": timeout_s, "poll_s": poll_s})
        try:
            started = [programs.start(_command(place, folder, terms)) for place in places_here(number)]
            most = int(_AT_MOST * timeout_s / poll_s)
            statuses = _wait(started, poll_s=poll_s, most=most)
        finally:
            programs.close(None)
        return _report(folder, statuses, "gloo" if cpu else "nccl")


def _command(place: Place, folder: Path, terms: str) -> Command:
    return Command(
        words=["lightning-cv doctor", str(folder / "report.json"), terms],
        entry=f"{RANK}:main",
        log=_log(folder, place.rank),
        environ=place.environ(),
        folder=folder,
    )


def _wait(started: Sequence[Program], *, poll_s: float, most: int) -> list[int | None]:
    """Wait until all have ended, or one has died and the others have had time to say more; their statuses then."""
    after_failure = 0
    for _ in range(most):
        statuses = [program.status for program in started]
        failed = [status for status in statuses if status]
        if None not in statuses or any(status < 0 for status in failed) or after_failure >= GRACE_POLLS:
            break
        after_failure += bool(failed)
        time.sleep(poll_s)
    return [program.status for program in started]


def _report(folder: Path, statuses: Sequence[int | None], backend: str) -> RankReport:
    path = folder / "report.json"
    said = read_report(json.loads(path.read_text())) if path.is_file() else None
    report = said or RankReport(backend=backend, num_ranks=len(statuses))
    killed = [rank for rank, status in enumerate(statuses) if status is not None and status < 0]
    if killed:
        # Known here for certain; the other ranks only missed it.
        return replace(
            report, cause=_killed(killed[0], statuses[killed[0]] or 0), mend="dmesg says why (out of memory?)"
        )
    if said is not None:
        return said
    failed = [rank for rank, status in enumerate(statuses) if status]
    if not failed:
        return replace(report, cause="the ranks came to no end, and said nothing", mend="try --processes 1")
    last = (_tail(_log(folder, failed[0])) or _tail(folder / "server.log")) or "it said nothing"
    return replace(report, cause=f"rank {failed[0]} ended with status {statuses[failed[0]]}: {last}")


def _killed(rank: int, status: int) -> str:
    try:
        return f"rank {rank} was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"the process that started rank {rank} died"


def _log(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.log"


def _tail(path: Path) -> str:
    """The last line of a log."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " ".join(lines[-1].split())[:300] if lines else ""
