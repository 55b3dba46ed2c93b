"""Which pictures does a run keep, and where?"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from lightning_cv.record.atomic import remove_leftovers, write_atomically

_FILE = re.compile(r"step-(\d{8,})\.png")


class PictureFolder:
    """The history of a run's pictures: `<folder>/<name>/step-<optimizer steps>.png`, in the order of training.

    Args:
        folder: the folder; made with the first picture.
        max_bytes: how large all its pictures may be together: beyond it the oldest go, but the newest of each
            name stays, however large.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def write(self, name: str, png: bytes, *, step: int) -> Path:
        """Write a picture, and remove the oldest ones where there are too many; returns its file.

        Args:
            name: `stage/name`, as of a metric.
            png: the content of the file.
            step: the optimizer steps that the weights have had.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        path = self._folder / name / f"step-{step:08d}.png"
        write_atomically(path, lambda file: file.write(png))
        self._trim()
        return path

    def forget_after(self, step: int) -> None:
        """Remove what training left that is beyond this step, since it goes on, or begins anew, from there."""
        for later, path in self._files():
            if later > step:
                _remove(path)
        for folder in {path.parent for path in self._folder.rglob(".*.tmp")}:
            remove_leftovers(folder)

    def _trim(self) -> None:
        files = self._files()
        newest = {path.parent: path for _, path in files}.values()
        excess = sum(path.stat().st_size for _, path in files) - self._max_bytes
        for _, path in files:
            if excess > 0 and path not in newest:
                excess -= path.stat().st_size
                _remove(path)

    def _files(self) -> list[tuple[int, Path]]:
        """Our pictures with their steps, the oldest first; whatever else lies in the folder is not touched."""
        found = ((_FILE.fullmatch(path.name), path) for path in self._folder.rglob("step-*.png"))
        return sorted((int(match[1]), path) for match, path in found if match)


def _remove(path: Path) -> None:
    # The folder may belong to somebody else by now.
    with contextlib.suppress(OSError):
        path.unlink()
