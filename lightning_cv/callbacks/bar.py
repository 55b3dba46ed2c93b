"""How is a progress bar drawn so that a step does not feel it?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.progress import TaskID


@dataclass(slots=True)
class _Row:
    task: TaskID
    batches: int
    images: int
    drawn_s: float
    drawn_images: int


class Bar:
    """Nested bars on a terminal (an epoch, a validation in it), redrawn when due; elsewhere only lines.

    Args:
        redraws_per_s: how often the bars are redrawn at most; between redraws a step reads the clock once.
    """

    def __init__(self, redraws_per_s: float) -> None:
        self._console = Console(highlight=False)
        self.live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._interval_s = 1 / redraws_per_s
        self._next_s = 0.0
        self._progress: Progress | None = None
        self._rows: list[_Row] = []

    @property
    def idle(self) -> bool:
        """Whether no bar is shown."""
        return not self._rows

    def begin(self, name: str, total: float) -> None:
        """Show a bar below those that are there; `total` batches, which may be infinite."""
        if not self.live:
            return
        if self._progress is None:
            self._progress = _new_progress(self._console)
            self._progress.start()
        length = None if total == float("inf") else total
        task = self._progress.add_task(name, total=length, speed="", metrics="")
        self._rows.append(_Row(task, batches=0, images=0, drawn_s=time.monotonic(), drawn_images=0))
        self._next_s = 0.0

    def advance(self, images: int) -> bool:
        """Count a batch in the lowest bar; whether it is time to redraw."""
        row = self._rows[-1]
        row.batches += 1
        row.images += images
        return time.monotonic() >= self._next_s

    def draw(self, metrics: str, batches: int | None = None) -> None:
        """Redraw the lowest bar; `batches`: how far it is, where that is not what was counted."""
        assert self._progress is not None
        row, now = self._rows[-1], time.monotonic()
        rate = (row.images - row.drawn_images) / max(now - row.drawn_s, 1e-9)
        row.drawn_s, row.drawn_images = now, row.images
        speed = f"{rate:,.0f} images/s"
        done = row.batches if batches is None else batches
        self._progress.update(row.task, completed=done, speed=speed, metrics=metrics)
        self._progress.refresh()
        self._next_s = now + self._interval_s

    def end(self) -> None:
        """Take the lowest bar away."""
        if self._progress is not None and self._rows:
            self._progress.remove_task(self._rows.pop().task)

    def print(self, text: str) -> None:
        """Print a permanent line, above the bars."""
        self._console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take all bars away and give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
        self._rows.clear()


def _new_progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[metrics]}", markup=False),
        console=console,
        auto_refresh=False,  # no thread: it would compete with the training for the interpreter
        transient=True,
    )
