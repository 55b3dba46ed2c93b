"""Does a process still live that was noted down earlier, perhaps by another program?"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


def process_mark(pid: int) -> str:
    """A text that names a living process of this machine for good: `machine/number/start`; numbers are given again.

    The machine is its boot and the namespace of its process numbers, so that two containers are two machines.
    """
    return f"{_machine()}/{pid}/{_start(pid) or 0}"


def is_alive(mark: str) -> bool | None:
    """Whether the process that a mark names still runs; None: it is of another machine, and nobody here knows."""
    machine, _, rest = mark.partition("/")
    number, _, start = rest.partition("/")
    if machine != _machine() or not number.isdecimal():
        return None
    found = _start(int(number))
    return found is not None and (start in ("0", "") or found == start)


def _start(pid: int) -> str | None:
    """When a process started, as the system counts; None: it is gone, or dead and only not yet counted as such."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return "0"
    try:
        # The name in parentheses may hold anything, a parenthesis too.
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZX" else start


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return platform.node() or "unknown"
    return f"{boot}.{space}"
