"""Does a folder take files, hold locks, and replace files so that nobody sees half of one? Seen by doing it there."""

from __future__ import annotations

import fcntl
import os
import re
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from lightning_cv.doctor.facts import Folder

_REPLACEMENTS = 50
_SYNCS = 3


def read_folder(folder: Path, *, shown: str, mounts: Path = Path("/proc/self/mountinfo")) -> Folder:
    """How a folder behaves; one that is not there is asked for at the nearest folder above that is.

    Everything that is written is removed again.

    Args:
        shown: how the user names it.
        mounts: the table of file systems.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    known = Folder(path=shown, kind=file_system(place, mounts))
    try:
        space = os.statvfs(place)
        known = replace(
            known, free=space.f_bavail * space.f_frsize, free_names=space.f_favail if space.f_files else None
        )
        with tempfile.TemporaryDirectory(dir=place, prefix=".lightning-cv-doctor-") as own:
            return _try(known, Path(own))
    except OSError as error:
        return replace(known, problem=(error.strerror or str(error)).lower())


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Type of the file system that a folder lies on, e.g. `nfs4`; None where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    resolved = folder.resolve()
    found: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        depth = len(mount.parts)
        # Of two on one folder the later one is what is seen.
        if (resolved == mount or mount in resolved.parents) and (found is None or depth >= found[0]):
            found = depth, after.split(" ")[0]
    return found[1] if found else None


def _try(known: Folder, own: Path) -> Folder:
    return replace(known, locks=_locks(own), rename_problem=_rename_problem(own), fsync_s=_fsync_s(own))


def _locks(own: Path) -> bool | None:
    """Whether who holds a lock keeps others out; None: there are no locks here."""
    path = own / "lock"
    with path.open("w") as holder, path.open("r+") as other:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False


def _rename_problem(own: Path) -> str:
    """What a reader saw, other than the whole old or the whole new content, while a file was replaced many times."""
    path = own / "file"
    contents = [bytes([number]) * 4096 for number in range(_REPLACEMENTS)]
    path.write_bytes(contents[0])
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen = path.read_bytes()
            except OSError as error:
                wrong.append(f"a reader found no file ({error.strerror})")
                return
            if seen not in contents:
                wrong.append(f"a reader saw {len(seen)} bytes that nobody wrote")
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for content in contents:
            temporary = own / "file.tmp"
            temporary.write_bytes(content)
            temporary.replace(path)
    finally:
        done.set()
        reader.join()
    if not wrong and path.read_bytes() != contents[-1]:
        wrong.append("the file has the old content")
    return "".join(wrong)


def _fsync_s(own: Path) -> float:
    """Median time in seconds until a small file is on the disk."""
    times = []
    for number in range(_SYNCS):
        with (own / f"sync-{number}").open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            start_s = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start_s)
    return statistics.median(times)
