"""Can runs be written where they are to be written, safely and fast, and is there room for them?"""

from __future__ import annotations

from lightning_cv.doctor.facts import Facts, Folder
from lightning_cv.doctor.finding import Finding, Status, size

MIB, GIB = 1 << 20, 1 << 30
NO_ROOM, LITTLE_ROOM = 100 * MIB, 5 * GIB
FEW_NAMES = 1000
SLOW_S, VERY_SLOW_S = 0.1, 1.0
NETWORK = (
    "nfs",
    "lustre",
    "gpfs",
    "beegfs",
    "cifs",
    "smb",
    "ceph",
    "gluster",
    "afs",
    "9p",
    "fuse",
    "pvfs",
    "wekafs",
    "panfs",
)
IN_MEMORY = ("tmpfs", "ramfs")
_ELSEWHERE = "choose another folder with --runs-dir"


def check_runs(facts: Facts) -> list[Finding]:
    """Where runs go: room, and what kind of file system."""
    folder = facts.runs
    finding = _room(folder, "runs folder", elsewhere=_ELSEWHERE)
    if finding.status is not Status.OK:
        return [finding]
    kind = folder.kind or ""
    if kind in IN_MEMORY:
        return [
            Finding(
                "runs folder", Status.WARNING, f"{finding.found}: in memory, gone when the machine restarts", _ELSEWHERE
            )
        ]
    if kind == "overlay":
        found = f"{finding.found}: the container's own layer, gone with the container"
        return [Finding("runs folder", Status.NOTE, found, f"mount a folder of the host; {_ELSEWHERE}")]
    return [finding]


def check_runs_behaviour(facts: Facts) -> list[Finding]:
    """What the safety of runs rests on: locks, names that change at once, and writes that reach the disk."""
    folder, check = facts.runs, "locks, renames"
    if folder.problem:
        return []
    if folder.rename_problem:
        found = f"a file is not replaced at once: {folder.rename_problem}; a crash may tear snapshots"
        return [Finding(check, Status.BROKEN, found, _ELSEWHERE)]
    if not folder.locks:
        what = "this file system has no locks" if folder.locks is None else "a lock keeps nobody out"
        found = f"{what}: two programs could train one run at once, and a sweep needs a database (--storage)"
        return [Finding(check, Status.WARNING, found, f"mount it with locks (Lustre: -o flock); or {_ELSEWHERE}")]
    time_s = folder.fsync_s or 0.0
    found = f"both hold; a small file is on the disk after {_time(time_s)}"
    if time_s > VERY_SLOW_S:
        return [Finding(check, Status.WARNING, f"{found}: every snapshot waits for it", _ELSEWHERE)]
    return [Finding(check, Status.NOTE if time_s > SLOW_S else Status.OK, found)]


def check_temporary(facts: Facts) -> list[Finding]:
    """The folder for temporary files, where W&B and compilers put theirs."""
    return [_room(facts.temporary, "temporary folder", elsewhere="export TMPDIR=<another folder>")]


def _room(folder: Folder, check: str, *, elsewhere: str) -> Finding:
    where = f"{folder.path} ({_kind(folder)})"
    if folder.problem:
        return Finding(check, Status.BROKEN, f"{where}: nothing can be written: {folder.problem}", elsewhere)
    if folder.free is None:
        return Finding(check, Status.OK, where)
    found = f"{where}: {size(folder.free)} free"
    mend = f"free some space, or {elsewhere}"
    if folder.free < NO_ROOM:
        return Finding(check, Status.BROKEN, found, mend)
    if folder.free_names is not None and folder.free_names < FEW_NAMES:
        return Finding(check, Status.BROKEN, f"{found}, but room for {folder.free_names} files (inodes) only", mend)
    if folder.free < LITTLE_ROOM:
        return Finding(check, Status.WARNING, found, mend)
    return Finding(check, Status.OK, found)


def _kind(folder: Folder) -> str:
    if folder.kind is None:
        return "unknown file system"
    return f"{folder.kind}, over the network" if folder.kind.startswith(NETWORK) else folder.kind


def _time(time_s: float) -> str:
    return f"{time_s:.1f} s" if time_s >= 1 else f"{1000 * time_s:.3g} ms"
