"""What do the operating system and the scheduler give this process: cores, memory, limits, SLURM?"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

from lightning_cv.doctor.cgroups import cpu_quota, memory_limit
from lightning_cv.doctor.facts import Cores, Limits, Memory

ANSWER_WITHIN_S = 10.0
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86; x86 with matrix units; ARM


def read_cores(root: Path = Path("/")) -> Cores:
    """Cores of the machine, and what this process may use of them."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine=machine, affinity=affinity, quota=cpu_quota(root), native_bf16=_native_bf16(root))


def read_memory(root: Path = Path("/")) -> Memory:
    """Memory of the machine and the limit of the control group."""
    entries = {}
    for line in _lines(root / "proc" / "meminfo"):
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            entries[name] = int(words[0]) << 10
    limit, used = memory_limit(root) or (None, None)
    return Memory(total=entries.get("MemTotal"), available=entries.get("MemAvailable"), limit=limit, limit_used=used)


def read_shared_memory(folder: Path = Path("/dev/shm")) -> tuple[int, int] | None:  # noqa: S108 - only asked for its size
    """Size of the shared memory and what of it is free, in bytes; None: there is none."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    return space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize


def read_limits() -> Limits:
    """Limits of this process, which what it starts inherits."""
    files, files_hard = map(_limit, resource.getrlimit(resource.RLIMIT_NOFILE))
    locked = _limit(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
    return Limits(open_files=files, open_files_hard=files_hard, locked_memory=locked)


def read_slurm() -> tuple[str | None, str]:
    """The version of SLURM (None: there is no srun), and why no cluster answers (empty: one does)."""
    asked: list[tuple[str, str]] = []
    for program, words in (("srun", ["--version"]), ("sinfo", ["--noheader", "--format=%R"])):
        found = shutil.which(program)
        if found is None:
            return (None, "") if program == "srun" else (asked[0][0] or "SLURM", "there is no sinfo")
        asked.append(_ask([found, *words]))
    (version, version_problem), (_, problem) = asked
    return version or "SLURM", problem or version_problem


def _ask(command: list[str]) -> tuple[str, str]:
    """The first line that a program prints, and the last line of its complaint if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - found on the PATH
            command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return "", f"{Path(command[0]).name} does not answer within {ANSWER_WITHIN_S:g} s"
    except OSError as error:
        return "", f"{Path(command[0]).name} cannot be run ({error.strerror})"
    printed, complaint = done.stdout.strip().splitlines(), done.stderr.strip().splitlines()
    if done.returncode == 0:
        return printed[0] if printed else "", ""
    return "", complaint[-1] if complaint else f"{Path(command[0]).name} ends with status {done.returncode}"


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _native_bf16(root: Path) -> bool | None:
    """Whether the CPU multiplies bfloat16 numbers itself; None: the system does not tell."""
    for line in _lines(root / "proc" / "cpuinfo"):
        name, _, rest = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return bool(_NATIVE_BF16.intersection(rest.split()))
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
