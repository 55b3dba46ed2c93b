"""Is a checkpoint file whole, of which run and step is it, and which of a run's files is the newest whole one?"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning_cv.record.atomic import write_text_atomically

_CHUNK = 1 << 20
_OWN_SHA256 = "manifest_sha256"
_REPLACES = "replaces"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What stands in `<file>.ckpt.json` beside a checkpoint.

    It is written when the checkpoint is in its place and has been read back: a checkpoint without it is one
    whose writing was not finished.

    Args:
        sha256: of the file, in hexadecimal digits.
        bytes: size of the file.
        order: larger for each later file in the folder: the time in nanoseconds since 1970, if the clock allows.
        epoch: from 0.
        step: optimizer steps done.
        run_id: of the run that wrote it; None: unknown.
        recipe_sha256: of what the recipe lets training compute; None: unknown.
        written: the time of writing, ISO 8601 in UTC, for people.
    """

    sha256: str
    bytes: int
    order: int
    epoch: int
    step: int
    run_id: str | None = None
    recipe_sha256: str | None = None
    written: str = ""


def manifest_path(checkpoint: Path) -> Path:
    """The file of a checkpoint's manifest."""
    return checkpoint.with_name(f"{checkpoint.name}.json")


def describe(
    checkpoint: Path, *, epoch: int, step: int, run_id: str | None = None, recipe_sha256: str | None = None
) -> Manifest:
    """The manifest of a file as it is on the disk now: newer than all that the folder has.

    Raises:
        OSError: it cannot be read.
    """
    _forget_cached(checkpoint)
    digest, size = _digest(checkpoint)
    return Manifest(
        sha256=digest,
        bytes=size,
        order=max(time.time_ns(), 1 + max(_orders(checkpoint.parent), default=0)),
        epoch=epoch,
        step=step,
        run_id=run_id,
        recipe_sha256=recipe_sha256,
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write_manifest(checkpoint: Path, manifest: Manifest, *, replaces: Manifest | None = None) -> None:
    """Declare the checkpoint whole.

    Args:
        checkpoint: the file.
        manifest: what is true of it.
        replaces: what is true of the file that has this name until the new one takes it: whichever of the two is
            there is whole then, so that a crash between the two steps costs nothing.

    Raises:
        OSError: it cannot be written.
    """
    content: dict[str, Any] = asdict(manifest)
    if replaces is not None:
        content[_REPLACES] = asdict(replaces)
    content[_OWN_SHA256] = _own_sha256(content)
    write_text_atomically(manifest_path(checkpoint), json.dumps(content, indent=2) + "\n")


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    try:
        content = json.loads(manifest_path(checkpoint).read_bytes())
        own_sha256 = content.pop(_OWN_SHA256)
        if own_sha256 != _own_sha256(content):
            raise ValueError("changed since it was written")
        replaced = content.pop(_REPLACES, None)
        manifest = Manifest(**content)
    except FileNotFoundError:
        raise ValueError("no manifest: its writing was not finished") from None
    except OSError as error:
        raise ValueError(f"its manifest cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("its manifest is damaged") from error
    if replaced is not None:
        with contextlib.suppress(OSError):
            if _digest(checkpoint)[0] == replaced["sha256"]:
                return Manifest(**replaced)
    return manifest


def problem_of(checkpoint: Path, *, recipe_sha256: str | None = None) -> str | None:
    """Why a checkpoint must not be used, in a few words; None: it is whole.

    Args:
        checkpoint: the file.
        recipe_sha256: of the recipe that wants to use it; None: any may. A file of unknown origin fits every one.
    """
    if not checkpoint.is_file():
        return "not a file" if checkpoint.exists() else "no such file"
    try:
        manifest = read_manifest(checkpoint)
    except ValueError as error:
        return str(error)
    if recipe_sha256 is not None and manifest.recipe_sha256 not in (None, recipe_sha256):
        return "belongs to another recipe"
    try:
        size = checkpoint.stat().st_size
        if size != manifest.bytes:
            return f"damaged: {size:,} of {manifest.bytes:,} bytes"
        digest, _ = _digest(checkpoint)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest == manifest.sha256 else "damaged: its content is not what was written (sha256)"


def newest_valid(
    folder: Path, pattern: str = "*.ckpt", *, recipe_sha256: str | None = None
) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint in a folder, and a line for each newer one that is not.

    Newest is by the time of writing, as the manifests say; a file without a readable manifest counts by the time
    of its last change. Links, folders and hidden files are passed over.

    Args:
        folder: where to look, not below it; there may be none.
        pattern: which names.
        recipe_sha256: of the recipe that wants to use it; None: any may.
    """
    skipped: list[str] = []
    for path in sorted(_checkpoints(folder, pattern), key=_age, reverse=True):
        problem = problem_of(path, recipe_sha256=recipe_sha256)
        if problem is None:
            return path, skipped
        skipped.append(f"{path}: {problem}")
    return None, skipped


def _checkpoints(folder: Path, pattern: str) -> list[Path]:
    return [
        path
        for path in folder.glob(pattern)
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    ]


def _orders(folder: Path) -> list[int]:
    orders = []
    for path in _checkpoints(folder, "*"):
        with contextlib.suppress(ValueError):
            orders.append(read_manifest(path).order)
    return orders


def _age(checkpoint: Path) -> tuple[int, str]:
    with contextlib.suppress(ValueError):
        return read_manifest(checkpoint).order, checkpoint.name
    with contextlib.suppress(OSError):  # another process removes files too
        return checkpoint.stat().st_mtime_ns, checkpoint.name
    return 0, checkpoint.name


def _own_sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _forget_cached(path: Path) -> None:
    """Let what is read next come from the disk rather than from memory, where the system knows how."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file, contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
