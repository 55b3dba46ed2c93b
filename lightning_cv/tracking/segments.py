"""Which W&B files did a run leave on disk, and what do they hold?

A run has a segment, a directory, for each time that it was started: `wandb/offline-run-<time>-<id>` or, where it
was recorded online, `wandb/run-<time>-<id>`. They are read by `wandb-core leet inspect`, W&B's own documented
reader; nothing here loads wandb.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_cv.record.wandb_file import read_records

if TYPE_CHECKING:
    from collections.abc import Iterable

STEP = "trainer/global_step"
EMPTY_BYTES = 7  # the header of a file that nothing was written to


@dataclass(frozen=True)
class Segment:
    """One directory of W&B files.

    Args:
        path: the directory.
        file: the log in it, `run-<id>.wandb`.
    """

    path: Path
    file: Path

    @property
    def run_id(self) -> str:
        """Id of the run that it is a part of."""
        return self.file.stem.removeprefix("run-")

    @property
    def offline(self) -> bool:
        """Whether it waits to be sent; what was recorded online went to W&B while it was written."""
        return self.path.name.startswith("offline-")

    @property
    def started(self) -> str:
        """When it was begun, as text that sorts in time."""
        return self.path.name.removeprefix("offline-").removeprefix("run-")

    @property
    def marker(self) -> Path:
        """W&B's own sign that the segment was sent."""
        return self.file.with_name(self.file.name + ".synced")

    @property
    def torn_marker(self) -> Path:
        """Our sign that an upload broke off: the server has some of the segment."""
        return self.file.with_name(self.file.name + ".torn")

    @property
    def sent(self) -> bool:
        """Whether W&B has it, or has its curves through a later part of the run."""
        return self.marker.exists()

    @property
    def size(self) -> int:
        """Bytes of everything in the directory but the logs of W&B itself."""
        files = [path for path in self.path.rglob("*") if path.is_file() and path.parent.name != "logs"]
        return sum(path.stat().st_size for path in files)


@dataclass
class Content:
    """What a segment holds, as far as it can be read.

    Args:
        run: who the run is: `project`, `entity`, `display_name` ...; empty: nothing could be read.
        config: the settings.
        rows: its curves in order, without W&B's own values.
        exit_code: with which the run ended; None: it was killed, or goes on.
    """

    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None


def find_segments(folder: Path, run_id: str) -> list[Segment]:
    """The segments of a run in `folder`/wandb, in the order in which they were begun."""
    paths = (folder / "wandb").glob(f"*run-*-{run_id}")
    segments = [segment for path in paths if (segment := as_segment(path)) and segment.run_id == run_id]
    return sorted(segments, key=lambda segment: segment.started)


def as_segment(path: Path) -> Segment | None:
    """The segment in a directory; None if it holds none."""
    file = next(iter(sorted(path.glob("run-*.wandb"))), None)
    return Segment(path, file) if file is not None and path.name.startswith(("run-", "offline-run-")) else None


def await_new_name(folder: Path, run_id: str) -> None:
    """Wait, a second at most, until a new segment gets a directory of its own: W&B names it by the second."""
    while any((folder / "wandb").glob(f"*run-{time.strftime('%Y%m%d_%H%M%S')}-{run_id}")):
        time.sleep(0.02)


def mark_as_sent(segments: Iterable[Segment]) -> None:
    """Let nobody send what waits in these: the server has their curves."""
    for segment in segments:
        if segment.offline:
            segment.marker.touch()


def read_segment(segment: Segment) -> Content:
    """What it holds up to the first torn record; empty where nothing can be read."""
    content = Content()
    for record in _records(segment.file):
        kind = record.get("type")
        if kind == "run":
            content.run = record.get("run") or content.run
            _update(content.config, content.run.get("config"))
        elif kind == "config":
            _update(content.config, record.get("config"))
        elif kind == "history":
            item = (record.get("history") or {}).get("item") or {}
            content.rows.append({key: value for key, value in item.items() if not key.startswith("_")})
        elif kind == "exit":
            content.exit_code = int((record.get("exit") or {}).get("exit_code", 0))
    return content


def _update(config: dict[str, Any], change: Any) -> None:
    values = (change or {}).get("update") or {}
    config.update({name: value for name, value in values.items() if name != "_wandb"})


def _records(file: Path) -> list[dict[str, Any]]:
    try:
        return read_records(file)
    except (OSError, subprocess.SubprocessError):
        return []
