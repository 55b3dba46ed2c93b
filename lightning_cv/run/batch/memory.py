"""How much memory may training use here, how much do its processes hold, and was it memory that gave out?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning.pytorch.utilities.memory import is_oom_error

# What training may use of what there is, so that caches and what grows later have room.
OF_A_GPU = 0.95
OF_A_MACHINE = 0.9

_UNLIMITED = 1 << 60  # control groups of version 1 say "no limit" with a number near the largest
# Limit, use, and what of the use are files that were read and can be forgotten again.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|ALLOC_FAILED", re.IGNORECASE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory of the accelerator or of the machine ran out, be it said by an error behind this one."""
    if error is None:
        return False
    typed = isinstance(error, torch.OutOfMemoryError | MemoryError) or is_oom_error(error)
    told = isinstance(error, RuntimeError | OSError) and bool(_OUT_OF_MEMORY.search(str(error)))
    return typed or told or is_out_of_memory(error.__cause__ or error.__context__)


def machine_room(root: Path = Path("/")) -> int | None:
    """Bytes that this machine, or the container that this process is in, has left; None: nobody knows.

    Args:
        root: where /proc and /sys are looked for.
    """
    rooms = list(_group_rooms(root))
    available = _amounts(root / "proc/meminfo").get("MemAvailable")
    if available is not None:
        rooms.append(available)
    return max(0, min(rooms)) if rooms else None


def held_bytes(pid: int) -> int:
    """Bytes of the machine's memory that a process holds, and its children beyond what they share with it; 0: gone."""
    held = _amounts(Path(f"/proc/{pid}/status")).get("VmRSS", 0)
    for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split():
        own = _amounts(Path(f"/proc/{child}/smaps_rollup"))
        held += own.get("Private_Clean", 0) + own.get("Private_Dirty", 0)
    return held


def _group_rooms(root: Path) -> Iterator[int]:
    """What each control group around this process has left, where it has a limit."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mount = root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
        else:
            continue
        own = mount / path.strip("/")
        for folder in (own, *own.parents):  # in a container the path is often not there, and the mount is its own
            for limit, used, files in _GROUP_FILES if folder == mount or mount in folder.parents else ():
                texts = _read(folder / limit).strip(), _read(folder / used).strip()
                if all(text.isdecimal() for text in texts) and int(texts[0]) < _UNLIMITED:
                    forgettable = re.search(rf"^{files} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                    yield int(texts[0]) - int(texts[1]) + (int(forgettable[1]) if forgettable else 0)


def _amounts(path: Path) -> dict[str, int]:
    """Bytes by name, from lines such as `VmRSS:  1772 kB`."""
    amounts = {}
    for line in _read(path).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
            amounts[name] = int(words[0]) * 1024
    return amounts


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
