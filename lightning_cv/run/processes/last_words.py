"""Why does a process end, in the words that the user reads at the end of all processes?"""

from __future__ import annotations

import re
import signal
import time
import traceback

from torch import distributed

from lightning_cv.errors import BUG, PREEMPTED, RESOURCES, Preempted, UserError
from lightning_cv.run.processes.board import Entry, Words

# What the backends raise in a process when another one has gone.
_LOST = re.compile(
    r"gloo|nccl|connection (closed|reset|refused)|broken pipe|ProcessGroup|TCPStore|recvBytes|timed out waiting",
    re.IGNORECASE,
)
_MEMORY = (signal.SIGKILL, signal.SIGBUS)  # of the machine, or of the space that processes share


class OtherProcessError(UserError):
    """Another of the processes that train together failed: says which one, and why.

    Args:
        words: its last ones.
    """

    def __init__(self, words: Words) -> None:
        super().__init__(words.text)
        self.exit_code = words.status
        self.words = words


def words_of(error: BaseException, rank: int) -> Words:
    """What a process says of the error that ends it."""
    who, now_s = f"process {rank}", time.time()
    if isinstance(error, UserError):
        return Words(rank, f"{who}: {error}", error.exit_code, now_s)
    if isinstance(error, Preempted):
        return Words(rank, f"{who}: {error}", PREEMPTED, now_s, by_signal=True)
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = f"{who}: {type(error).__name__}: {error}; please report it with the lines above"
    return Words(rank, text, BUG, now_s, traceback="".join(lines), is_consequence=is_consequence(error))


def is_consequence(error: BaseException) -> bool:
    """Whether it may only say that another process has gone."""
    lost = isinstance(error, distributed.DistError) or type(error) is RuntimeError
    return lost and _LOST.search(str(error)) is not None


def words_of_ended(rank: int, status: int | None, *, entry: Entry | None, crash: str) -> Words:
    """What is known of a process that ended without a word.

    Args:
        rank: its number.
        status: its exit status, minus a signal's number; None: this process did not start it.
        entry: what it said last; None: nothing yet.
        crash: what Python wrote as it crashed.
    """
    who = f"process {rank}"
    where = f" (pid {entry.pid} on {entry.host}, last seen at {_at(entry)})" if entry is not None else ""
    if crash:
        first = crash.splitlines()[0].removeprefix("Fatal Python error: ")
        text = f"{who}{where} crashed: {first}; please report it with the lines above"
        return Words(rank, text, BUG, time.time(), traceback=crash + "\n")
    if status is None:
        text = f"{who}{where} was killed or ended without a word (the machine's memory ran out?)"
    elif status < 0:
        number = signal.Signals(-status)
        why = " (the machine's memory ran out?)" if number in _MEMORY else ""
        text = f"{who}{where} was killed by {number.name}{why}"
        return Words(rank, text, RESOURCES if number in _MEMORY else BUG, time.time())
    else:
        text = f"{who}{where} ended with status {status}; what it says is above"
        return Words(rank, text, status or BUG, time.time())
    return Words(rank, text, RESOURCES, time.time())


def words_of_stopped(entry: Entry, silent_s: float) -> Words:
    """What is known of a process that neither ends nor gives a sign of life."""
    text = (
        f"process {entry.rank} on {entry.host} (pid {entry.pid}) gave no sign of life for {silent_s:.0f} s; it "
        f"stopped at {_at(entry)}"
    )
    return Words(entry.rank, text, RESOURCES, time.time())


def words_of_hung(culprits: list[Entry], idle_s: float) -> Words:
    """What is known of processes that live and get nowhere, so that all others wait for them."""
    first = culprits[0]
    others = f" (and {len(culprits) - 1} more)" if len(culprits) > 1 else ""
    code = f" in {first.standing.code}" if first.standing.code else ""
    text = (
        f"process {first.rank}{others} on {first.host} (pid {first.pid}) hangs at {_at(first)}{code}; no process "
        f"got further for {idle_s:.0f} s"
    )
    return Words(first.rank, text, RESOURCES, time.time())


def _at(entry: Entry) -> str:
    standing = entry.standing
    where = f"step {standing.step}" if standing.place else "set-up"
    return f"epoch {standing.epoch}, {where}, {standing.activity}" if standing.place else where
