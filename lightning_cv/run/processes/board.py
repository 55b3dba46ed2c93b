"""What do processes that train together know of one another, whatever becomes of them?"""

from __future__ import annotations

import errno
import faulthandler
import fcntl
import json
import os
import shutil
import socket
import threading
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

_SIZES = {"entry": 4096, "words": 16384}  # bytes, which a disk that is full later still has
State = Literal["running", "failed", "done"]


@cache
def this_machine() -> str:
    """The boot and the space of process numbers: two containers are two machines."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').readlink().name}"
    except OSError:
        return socket.gethostname()


@dataclass(frozen=True)
class Standing:
    """Where in training a process stands.

    Args:
        activity: what its main thread does, in words.
        epoch: from 0.
        step: optimizer steps done.
        place: grows with every event of the loops, in the order that all processes share.
        idle_s: since the place last changed.
        limit_s: after which it is taken to hang; None: what it does may take any time.
        code: the function, file and line at which its main thread stands, where it has stood for a while.
        waits: whether that is where it waits for the other processes.
    """

    activity: str = "set-up"
    epoch: int = 0
    step: int = 0
    place: tuple[int, ...] = ()
    idle_s: float = 0.0
    limit_s: float | None = None
    code: str = ""
    waits: bool = False


@dataclass(frozen=True)
class Entry:
    """What a process says of itself about once a second.

    Args:
        rank: its number among those that train together.
        beat: counts the entries that it wrote.
        state: "failed" once its last words can be read, "done" when nothing can go wrong any more.
    """

    rank: int
    host: str = field(default_factory=socket.gethostname)
    machine: str = field(default_factory=this_machine)
    pid: int = field(default_factory=os.getpid)
    beat: int = 0
    state: State = "running"
    standing: Standing = field(default_factory=Standing)

    @property
    def is_here(self) -> bool:
        """Whether its number means the same process here."""
        return self.machine == this_machine()


@dataclass(frozen=True)
class Words:
    """Why a process ends, and with it all others.

    Args:
        rank: the process that is to blame.
        text: one line for the user.
        status: exit status of all processes.
        time_s: when it was found, by this machine's clock.
        traceback: of a bug, as Python prints it.
        is_consequence: another process is the cause, which has not been found (yet).
        by_signal: a signal asked for it: nothing is wrong.
    """

    rank: int
    text: str
    status: int
    time_s: float
    traceback: str = ""
    is_consequence: bool = False
    by_signal: bool = False

    @property
    def said(self) -> str:
        """What it says of itself, whoever it is: two processes may find the same mistake."""
        return self.text.removeprefix(f"process {self.rank}: ")


class Board:
    """A folder with an entry, a lock and at last the words of each process; no crash and no stop tears any of them.

    Entries are overwritten in place: on a network file system a file that is opened anew is read anew, one that
    was replaced may not be. The lock is a POSIX one, which network file systems know too, which the system lets go
    however its holder ends, and which no forked reader of data inherits.

    Args:
        folder: shared by all processes, new for each launch.
        rank: of this process.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.own = Entry(rank)
        self._lock: IO[str] = self._path(rank, "lock").open("w")
        with suppress(OSError):  # a file system without locks: nothing can be known
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._crash = self._path(rank, "crash").open("w")
        self._traced_before = faulthandler.is_enabled()
        self._known: dict[int, Entry] = {}
        self._seen_locked: set[int] = set()
        self._writing = threading.Lock()
        self._overwrite("words", {})
        self.write()

    def write(self, *, state: State | None = None, standing: Standing | None = None) -> None:
        """Say how this process is; what has failed or is done stays so."""
        with self._writing:
            own = self.own
            state = state if own.state == "running" and state is not None else own.state
            self.own = replace(own, beat=own.beat + 1, state=state, standing=standing or own.standing)
            self._overwrite("entry", asdict(self.own))

    def fail(self, words: Words) -> None:
        """Leave the last words of this process; only the first ones count."""
        if self.own.state == "running":
            short = replace(words, text=words.text[:4000], traceback=words.traceback[-6000:])
            self._overwrite("words", asdict(short))
            self.write(state="failed")

    def entry(self, rank: int) -> Entry | None:
        """What a process said last; None: it has not said anything yet."""
        fields = self._read(rank, "entry")
        if fields:
            standing = fields.pop("standing")
            standing["place"] = tuple(standing["place"])
            self._known[rank] = Entry(**fields, standing=Standing(**standing))
        return self._known.get(rank)

    def words(self, rank: int) -> Words | None:
        """The last words of a process that has failed."""
        entry = self.entry(rank)
        fields = self._read(rank, "words") if entry is not None and entry.state == "failed" else None
        return Words(**fields) if fields else None

    def is_gone(self, entry: Entry) -> bool:
        """Whether the process that wrote an entry has ended, in whatever way; False where nobody can know.

        Some network file systems keep locks from other machines: what was never seen locked says nothing.
        """
        try:
            with self._path(entry.rank, "lock").open() as lock:
                fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                self._seen_locked.add(entry.rank)
            return False
        return entry.is_here or entry.rank in self._seen_locked

    def crash_of(self, rank: int) -> str:
        """What Python wrote when a process crashed; empty: it did not, or was killed."""
        try:
            return self._path(rank, "crash").read_text(errors="replace").strip()
        except OSError:
            return ""

    def trace_crashes(self) -> None:
        """Let Python write what it was doing when it crashes; anew after Lightning has put handlers of signals back."""
        faulthandler.disable()
        faulthandler.enable(self._crash)

    def close(self, *, removes: bool) -> None:
        """Take no part any more; the last one removes everything."""
        faulthandler.disable()
        if self._traced_before:
            faulthandler.enable()
        if removes:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _overwrite(self, kind: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")
        target = os.open(self._path(self.own.rank, kind), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(target, b"%08x " % zlib.crc32(text) + text.ljust(_SIZES[kind]), 0)
        finally:
            os.close(target)

    def _read(self, rank: int, kind: str) -> dict[str, Any] | None:
        """What stands there; None: nothing, or it was read while it was written."""
        try:
            checksum, _, text = self._path(rank, kind).read_bytes().partition(b" ")
        except OSError:
            return None
        text = text.rstrip()
        if checksum != b"%08x" % zlib.crc32(text):
            return None
        fields: dict[str, Any] = json.loads(text)
        return fields

    def _path(self, rank: int, kind: str) -> Path:
        return self.folder / f"{rank:05d}.{kind}"
