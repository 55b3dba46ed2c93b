"""How is one checkpoint file written, so that it has its name only when it is whole and can be loaded?"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lightning_cv.errors import UserError
from lightning_cv.record.atomic import write_atomically
from lightning_cv.record.manifest import (
    Manifest,
    describe,
    manifest_path,
    problem_of,
    read_manifest,
    write_manifest,
)

_CHUNK = 1 << 20


def write_checkpoint(path: Path, write: Callable[[Any], None], facts: dict[str, Any]) -> None:
    """Write a file and its manifest, or neither; at any moment whichever file has the name has its manifest.

    The file is brought to the disk, read back and compared with what was written before it gets its name.

    Args:
        path: the file.
        write: writes the content into an open file.
        facts: what the manifest says besides: see `describe`.

    Raises:
        OSError: the disk is full, or fails.
        UserError: the file could never be loaded.
    """
    written: list[str] = []
    manifests: list[Manifest] = []

    def fill(file: BinaryIO) -> None:
        hashed = _HashedFile(file)
        try:
            write(hashed)
        except RuntimeError as error:
            raise hashed.error or error from None  # torch's writer answers an error of the disk with its own
        written.append(hashed.sha256)

    def check(temporary: Path) -> None:
        manifest = describe(temporary, **facts)
        if [manifest.sha256] != written:
            raise OSError(errno.EIO, "what was read back is not what was written")
        _refuse_unsafe(temporary, path)
        with suppress(ValueError):  # there is no file of this name that counts
            write_manifest(path, manifest, replaces=read_manifest(path))
        manifests.append(manifest)

    try:
        write_atomically(path, fill, check=check)
        write_manifest(path, manifests[0])
    except OSError:
        if manifests and problem_of(path) is not None:  # it has the name, and no manifest that fits
            path.unlink(missing_ok=True)
            manifest_path(path).unlink(missing_ok=True)
        raise


def copy_content(source: Path, file: BinaryIO) -> None:
    """Write what is in a file into an open one."""
    with source.open("rb") as content:
        while chunk := content.read(_CHUNK):
            file.write(chunk)


class _HashedFile:
    """A file that also hashes what is written to it, and remembers why it could not be; torch only ever appends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.error: OSError | None = None

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def write(self, content: Any) -> int:
        self._sha256.update(content)
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _refuse_unsafe(checkpoint: Path, path: Path) -> None:
    """Find out now, not when it is needed, that a file holds what is never loaded.

    Raises:
        UserError: it holds more than tensors and plain values.
    """
    unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint))
    if unsafe:
        raise UserError(
            f"{path}: not written, since it would hold {', '.join(unsafe)}, and checkpoints are loaded with tensors "
            "and plain values only; change what the task or a callback adds to it"
        )
