"""Does a program of an earlier attempt still train a trial's run? Then it is ended first, so that none is run twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

LOCK = ".lock"  # in a run's folder; held by whatever trains the run
END_WITHIN_S = 120.0  # from SIGTERM, behind which a run saves what it has, to SIGKILL
_LOOK_EVERY_S = 0.1


def end_leftover(folder: Path, stop: threading.Event) -> None:
    """Wait until nobody trains the run in this folder; a program of this machine is told to save and end.

    One of another machine, which gave no sign of life for long but trains on, is waited for.

    Args:
        folder: of the run; it need not be there.
        stop: when set, the waiting ends.
    """
    started_s = time.monotonic()
    told: set[tuple[int, int]] = set()
    while not stop.is_set() and _is_held(folder / LOCK):
        late = time.monotonic() - started_s > END_WITHIN_S
        number = signal.SIGKILL if late else signal.SIGTERM
        holder = _holder(folder / LOCK)
        if holder is not None and (holder, number) not in told:
            told.add((holder, number))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(holder, number)
        stop.wait(_LOOK_EVERY_S)


def _is_held(path: Path) -> bool:
    """Whether a process holds the lock; not where the file system has no locks."""
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _holder(path: Path) -> int | None:
    """The process of this machine that the lock's file names."""
    try:
        found = re.match(r"process (\d+) on (\S+)", path.read_text(errors="replace"))
    except OSError:
        return None
    return int(found[1]) if found and found[2] == socket.gethostname() else None
