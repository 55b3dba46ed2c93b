"""How do pictures wait for their row, when their files may change before it is sent?"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 8 * 2**20  # of all pictures of one call


class KeptPictures:
    """Copies of pictures, each until it is sent."""

    def __init__(self) -> None:
        self._copies: list[Path] = []

    def keep(self, pictures: Mapping[str, Path], folder: Path, *, step: int) -> tuple[dict[str, Path], list[str]]:
        """Copy pictures as far as `MAX_BYTES` reach; returns the copies, and the names of what was left out.

        Raises:
            OSError: one cannot be read, or its copy cannot be written.
        """
        kept: dict[str, Path] = {}
        dropped = []
        left = MAX_BYTES
        for number, (name, path) in enumerate(pictures.items()):
            size = path.stat().st_size
            if size > left:
                dropped.append(name)
                continue
            left -= size
            kept[name] = folder / "waiting" / f"{step}-{len(self._copies)}-{number}{path.suffix}"
            kept[name].parent.mkdir(exist_ok=True)
            self._copies.append(kept[name])
            shutil.copyfile(path, kept[name])
        return kept, dropped

    def forget(self) -> None:
        """Remove the copies; W&B has its own now."""
        copies, self._copies = self._copies, []
        for copy in copies:
            copy.unlink(missing_ok=True)
        if copies and not any(copies[0].parent.iterdir()):
            copies[0].parent.rmdir()
