"""Ranks of the doctor in tests: forked from this warm process, with their outcomes in files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning_cv.doctor.place import Place, places_here
from lightning_cv.doctor.rank import WORK, Part, Terms, leave, take_part
from tests.processes import fork

POLL_S = 0.05
# 100 polls: enough for a loaded machine, and what a rank that does not come costs a test.
TERMS = Terms(cpu=True, timeout_s=100 * POLL_S, poll_s=POLL_S)
# Where nothing is to be missed.
PATIENT = Terms(cpu=True, timeout_s=2400 * POLL_S, poll_s=POLL_S)

Change = Callable[[Part], None]


def start(place: Place, terms: Terms, work: Sequence[Change] = WORK, node: dict[str, Any] | None = None) -> int:
    """Fork one rank; returns its process id. It leaves `outcome-<rank>.json`."""

    def run() -> int:
        os.environ["TORCH_CPP_LOG_LEVEL"] = "FATAL"
        outcome = take_part(place, terms, work, node)
        data = {"speaks": outcome.speaks, "nodes": outcome.nodes, **outcome.report.data()}
        Path(f"outcome-{place.rank}.json").write_text(json.dumps(data))
        return leave(5 if outcome.report.cause else 0)

    return fork(run)


def end(children: Sequence[int]) -> list[int]:
    """Statuses of all ranks; one that was stopped is killed once the others have ended."""
    statuses: dict[int, int] = {}
    for child in children:
        found, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            continue
        statuses[found] = os.waitstatus_to_exitcode(status)
    for child in children:
        if child not in statuses:
            os.kill(child, signal.SIGKILL)
            statuses[child] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return [statuses[child] for child in children]


def outcome(rank: int) -> dict[str, Any]:
    """What a rank says in the end."""
    return json.loads(Path(f"outcome-{rank}.json").read_text())


def run(works: Sequence[Sequence[Change]], terms: Terms = PATIENT) -> list[int]:
    """Let as many ranks take part as there are works; their statuses."""
    return end([start(place, terms, work) for place, work in zip(places_here(len(works)), works, strict=True)])
