"""How is a study kept in one file, that killed processes cannot damage?"""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.sweep.storage.base import Storage

_CHUNK = 1 << 20


class Journal(Storage):
    """A file that is only ever appended to; several machines may share it on a network file system with locks."""

    def __init__(self, path: Path) -> None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self._path = path
        self.text = display_path(path)
        warnings.filterwarnings("ignore", message=".*JournalStorage is experimental.*")
        try:
            backend = JournalFileBackend(str(path), lock_obj=_AppendLock(path))  # type: ignore[arg-type]  # same methods
            self.optuna = JournalStorage(backend)
        except OSError as error:
            raise UserError(f"{self.text}: cannot be opened ({error.strerror})") from error
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise UserError(f"{self.text}: damaged; it is no journal of a study ({error!s:.80})") from error

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """See `Storage`."""
        with self._path.with_name(".claims").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def beat(self, study: str, name: str) -> None:
        """The time of a file, as the file system counts it: the journal does not grow."""
        folder = self._path.with_name("workers")
        folder.mkdir(exist_ok=True)
        (folder / name).touch()

    def beats(self, study: str) -> dict[str, int]:
        """See `Storage`."""
        folder = self._path.with_name("workers")
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.is_dir() else {}


class _AppendLock:
    """Lets one process append at a time, and cuts off the line that one left unfinished when it was killed.

    Optuna's own lock is a file that a killed process leaves behind, for which the others wait half a minute; and a
    line without an end makes the journal unreadable once another is appended to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def acquire(self) -> bool:
        """Wait for the others."""
        file = self._path.with_name(f".{self._path.name}.lock").open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            self._heal()
        except BaseException:
            file.close()  # else this process would wait for itself the next time
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Let others append."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _heal(self) -> None:
        with self._path.open("rb+") as journal:
            size = end = journal.seek(0, 2)
            kept = -1  # where the whole lines end
            while end > 0 and kept < 0:
                start = max(0, end - (_CHUNK if end < size else 1))  # most often the last byte is enough
                journal.seek(start)
                found = journal.read(end - start).rfind(b"\n")
                kept, end = (start + found + 1 if found >= 0 else -1), start
            if size > max(kept, 0):
                journal.truncate(max(kept, 0))
