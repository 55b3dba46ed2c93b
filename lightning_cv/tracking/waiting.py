"""Which runs wait on disk to be sent to W&B, and what of each?"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.record.progress import FILE_NAME, read_progress
from lightning_cv.tracking.present import present_in
from lightning_cv.tracking.segments import EMPTY_BYTES, Content, Segment, as_segment, read_segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightning_cv.tracking.present import Row

SILENT_S = 60.0  # W&B writes what the machine does every 15 s, whether the run logs or not


@dataclass(frozen=True)
class WaitingRun:
    """One run with its segments in the order in which they were begun.

    Args:
        run_id: its id in W&B.
        folder: of the run; its `progress.jsonl`, where there is one, knows all points of the curves.
        segments: those that the user named.
    """

    run_id: str
    folder: Path
    segments: Sequence[Segment]
    _contents: dict[Path, Content] = field(default_factory=dict)

    def content(self, segment: Segment) -> Content:
        """What a segment holds; read once."""
        if segment.path not in self._contents:
            self._contents[segment.path] = read_segment(segment)
        return self._contents[segment.path]

    @property
    def ready(self) -> list[Segment]:
        """Offline segments that were not sent and can be."""
        return [segment for segment in self.segments if self.problem(segment) is None]

    @property
    def asks_server(self) -> bool:
        """Whether only the server knows what it has: a part was recorded online, or sent in part."""
        return any(not segment.offline or segment.torn_marker.exists() for segment in self.segments)

    @property
    def damaged(self) -> list[Segment]:
        """Segments with something in them that cannot be read."""
        return [segment for segment in self.segments if self.problem(segment) == "cannot be read"]

    def problem(self, segment: Segment) -> str | None:
        """Why a segment is not to be sent; None: it is."""
        if not segment.offline:
            return "recorded online"
        if segment.sent:
            return "sent already"
        if segment.file.stat().st_size <= EMPTY_BYTES:
            return "empty: killed before W&B wrote anything"
        return None if self.content(segment).run else "cannot be read"

    @cached_property
    def head(self) -> dict[str, Any]:
        """Who the run is, as its last part says: `project`, `entity`, `display_name` ..."""
        heads = [self.content(segment).run for segment in self.segments]
        return next((head for head in reversed(heads) if head), {})

    @property
    def target(self) -> str:
        """Where it goes in W&B."""
        return f"{self.head.get('entity') or '(your default entity)'}/{self.head.get('project') or 'uncategorized'}"

    @cached_property
    def rows(self) -> list[Row]:
        """All points of the curves: those of `progress.jsonl`; empty where the run has none."""
        try:
            events = read_progress(self.folder / FILE_NAME)
        except (OSError, ValueError, TypeError):
            return []
        curve = [event for event in events if event["event"] == "curve"]
        return [(event["step"], {**event["metrics"], "epoch": event["epoch"]}) for event in curve]

    @property
    def num_unwritten(self) -> int:
        """Points of the curves that no segment holds: W&B writes late, and a killed run loses them."""
        present = present_in(row for segment in self.segments for row in self.content(segment).rows)
        return sum(bool(present.missing(step, metrics)) for step, metrics in self.rows)

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """False if the run is being trained; else nobody starts to train it within the `with`."""
        lock = self.folder / ".lock"
        with contextlib.ExitStack() as stack:
            if lock.is_file():
                file = stack.enter_context(lock.open())
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                except OSError:
                    pass  # a file system without locks
            yield lock.is_file() or not self._is_written_to()

    def _is_written_to(self) -> bool:
        last = self.segments[-1]
        return self.content(last).exit_code is None and time.time() - last.file.stat().st_mtime < SILENT_S


def find_waiting(names: Sequence[str]) -> list[WaitingRun]:
    """The runs that are meant: run folders, folders of such, patterns, W&B directories, in the order of their ids.

    Raises:
        UserError: a name is no folder, or holds no W&B run; two folders hold parts of one run.
    """
    segments: dict[Path, Segment] = {}
    for name in names:
        for path in _paths(name):
            found = list(_segments_below(path.resolve()))
            if not found:
                raise UserError(f"{display_path(path)}: holds no W&B run; a run records one unless it has no tracker")
            segments.update({segment.path: segment for segment in found})
    return _by_run(segments)


def _by_run(segments: Mapping[Path, Segment]) -> list[WaitingRun]:
    runs: dict[str, list[Segment]] = {}
    for segment in sorted(segments.values(), key=lambda segment: (segment.run_id, segment.started)):
        runs.setdefault(segment.run_id, []).append(segment)
    for run_id, parts in runs.items():
        folders = sorted({part.path.parent for part in parts})
        if len(folders) > 1:
            shown = " and ".join(display_path(folder) for folder in folders[:2])
            raise UserError(f"{shown} hold the same run {run_id}, which would come twice; name one of them")
    return [WaitingRun(run_id, _folder(parts[0]), parts) for run_id, parts in runs.items()]


def _folder(segment: Segment) -> Path:
    parent = segment.path.parent
    return parent.parent if parent.name == "wandb" else parent


def _paths(name: str) -> list[Path]:
    path = Path(name)
    if path.suffix == ".wandb" and path.is_file():
        return [path.parent]
    if path.is_dir():
        return [path]
    found = [Path(match) for match in sorted(glob.glob(name)) if Path(match).is_dir()]  # noqa: PTH207 - may be absolute
    if not found:
        raise UserError(f"{name}: no such folder; give the folder of a run, or one with runs below it")
    return found


def _segments_below(path: Path) -> Iterator[Segment]:
    for folder, names, _ in os.walk(path):
        segment = as_segment(Path(folder))
        if segment is not None:
            names.clear()
            yield segment
