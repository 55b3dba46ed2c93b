"""How much of the machine does the control group of this process, or a group around it, allow it to use?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60  # version 1 says "no limit" with a number near the largest
# Limit, use, and the entry of memory.stat for read files: version 2 and version 1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that may be used, e.g. 2.5; None: no limit.

    Args:
        root: where /proc and the mounts are looked for.
    """
    quotas = []
    for folder in _groups(root, "cpu"):
        words = _read(folder / "cpu.max").split()  # version 2: "200000 100000" or "max 100000"
        if not words:
            words = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> tuple[int, int | None] | None:
    """The tightest limit in bytes, and what of it is taken; None: no limit.

    Files that were read and can be forgotten again count against a limit, but are not taken.
    """
    limits: list[tuple[int, int | None]] = []
    for folder in _groups(root, "memory"):
        statistics = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
        for limit, used, forgettable in _MEMORY_FILES:
            text, count = _read(folder / limit), _read(folder / used)
            if text.isdecimal() and int(text) < _UNLIMITED:
                files = int(statistics.get(forgettable, "0"))
                limits.append((int(text), max(0, int(count) - files) if count.isdecimal() else None))
    return min(limits, key=lambda limit: limit[0], default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, from its own up to the outermost that can be seen.

    In a container its own group is often mounted as the outermost, and the path that /proc names is not there.
    """
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            mounts = _mounts(root, "cgroup2", "")
        elif controller in names.split(","):
            mounts = _mounts(root, "cgroup", controller)
        else:
            continue
        for mount in mounts:
            own = mount / path.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder == mount or mount in folder.parents)


def _mounts(root: Path, kind: str, controller: str) -> list[Path]:
    """Where the groups of a kind, and in version 1 of a controller, are mounted."""
    found = []
    for line in _read(root / "proc" / "self" / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, options = before.split(" "), after.split(" ")
        if len(fields) > 4 and options[0] == kind and (not controller or controller in options[-1].split(",")):
            found.append(root / fields[4].lstrip("/"))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
