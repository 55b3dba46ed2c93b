"""How is a file written so that neither a crash, nor a full disk, nor a power cut leaves half of it?"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
# What file systems answer that know no such call.
_UNKNOWN_CALL = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], *, check: Callable[[Path], None] | None = None
) -> None:
    """Write a file of which, at any moment, either all or nothing is there under its name.

    A temporary file in the same folder is filled, brought to the disk, and renamed; then the folder is brought
    to the disk too. On any error the temporary file goes, and what was there under the name stays.

    Args:
        path: the file; its folder is made.
        write: fills the open file.
        check: gets the temporary file when it is on the disk; by raising it keeps it from taking the name.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, file = _create_temporary(path)
    try:
        with file:  # open, and so locked, until it has its name
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if check is not None:
                check(temporary)
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system lets one ask for that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN_CALL:
            raise
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left.

    One that is being written, by whichever process or thread, is locked and stays; so does what cannot be locked
    or removed.
    """
    for path in list(folder.iterdir()):
        if not _TEMPORARY.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _create_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """A new empty file beside `path`, and its handle, which holds the lock that `remove_leftovers` asks for."""
    while True:
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()  # it is being removed, before this process could lock it
            continue
        except OSError as error:
            if error.errno not in _UNKNOWN_CALL:
                file.close()
                temporary.unlink()
                raise
        if os.fstat(file.fileno()).st_nlink > 0:
            return temporary, file
        file.close()  # it was removed between the two calls
