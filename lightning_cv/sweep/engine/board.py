"""What does a person see while a sweep runs: which trials, what they use, the best so far, and how long it takes?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.run import duration
from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.recipe.space import Value
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.results import StudyResults, TrialResult

_STYLES = {"complete": "", "pruned": "dim", "failed": "red", "running": "cyan", "waiting": "dim"}
_ENDED = ("complete", "pruned", "failed")
_SHOWN = 12  # rows of a live table: those that run, the best one, and the latest


class Board:
    """A live table on a terminal; elsewhere one line for each trial that ends.

    Args:
        sweep: what is searched.
        console: where to print.
        workers: how many trials this process runs at once; for the time that is left.
    """

    def __init__(self, sweep: Sweep, console: Console, *, workers: int) -> None:
        self._sweep = sweep
        self._console = console
        self._workers = workers
        self._names = short_names(sweep.space.paths)
        self._lock = threading.Lock()
        self._latest: dict[int, str] = {}
        self._first_end_s = 0.0
        self._known: set[int] | None = None  # trials whose end was told
        self._ended_here = 0
        self._live: Live | None = None

    def follow(self, number: int, values: Mapping[str, Value]) -> Callable[[str], None]:
        """Show a trial that this process begins; the function takes a few words on what happens to it."""

        def tell(text: str) -> None:
            with self._lock:
                self._latest[number] = text

        tell("starting")
        return tell

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the table as long as the context lasts."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        with self._live or nullcontext():
            yield
        self._live = None

    def draw(self, results: StudyResults) -> None:
        """Show how things stand now."""
        ended = [trial for trial in results.trials if trial.state in _ENDED]
        new = [trial for trial in ended if self._known is not None and trial.number not in self._known]
        self._known = {trial.number for trial in ended}
        self._ended_here += len(new)
        self._first_end_s = self._first_end_s or (time.monotonic() if new else 0.0)
        if self._live is not None:
            self._live.update(Group(self._table(results), Text(self._summary(results))), refresh=True)
            return
        for trial in new:
            self._console.print(Text(self._line(trial, results)), soft_wrap=True)

    def _line(self, trial: TrialResult, results: StudyResults) -> str:
        """One trial that ended, for a log."""
        score = self._score(trial) or trial.reason
        settings = "  ".join(f"{self._names[path]}={short_value(value)}" for path, value in trial.values.items())
        return f"trial {trial.number:<4} {trial.state:<9} {score}  {settings}  ({self._summary(results)})"

    def _summary(self, results: StudyResults) -> str:
        ended = sum(trial.state in _ENDED for trial in results.trials)
        failed = sum(trial.state == "failed" for trial in results.trials)
        parts = [f"{ended} of {self._sweep.num_trials}"]
        if failed:
            parts.append(f"{failed} failed")
        best = results.ranked()[:1]
        if best and len(self._sweep.objectives) == 1:
            parts.append(f"best {best[0].scores[0]:.4g} of trial {best[0].number}")  # type: ignore[index]
        left = self._sweep.num_trials - ended
        if left and self._ended_here > self._workers:
            # From the first end on: what comes before it holds the start of the warm process.
            each_s = (time.monotonic() - self._first_end_s) / (self._ended_here - 1)
            parts.append(f"about {duration(left * each_s)} left")
        return ", ".join(parts)

    def _table(self, results: StudyResults) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("trial", "state", *self._names.values(), *map(_title, self._sweep.objectives), ""):
            table.add_column(title, overflow="ellipsis", no_wrap=True)
        best = {trial.number for trial in results.ranked()[:1]}
        for trial in self._rows(results, best):
            values = [short_value(trial.values[path]) if path in trial.values else "" for path in self._names]
            scores = [f"{score:.4g}" for score in trial.scores or ()] or [""] * len(self._sweep.objectives)
            cells = [f"{trial.number}{' *' if trial.number in best else ''}", trial.state, *values, *scores]
            style = "green" if trial.number in best else _STYLES[trial.state]
            table.add_row(*cells, self._news(trial), style=style)
        return table

    def _rows(self, results: StudyResults, best: set[int]) -> list[TrialResult]:
        """The running ones, the best, and of the others the latest."""
        begun = [trial for trial in results.trials if trial.state != "waiting"]
        always = [trial for trial in begun if trial.state == "running" or trial.number in best]
        others = [trial for trial in begun if trial not in always]
        room = max(0, _SHOWN - len(always))
        chosen = {trial.number for trial in always} | {trial.number for trial in others[len(others) - room :]}
        return [trial for trial in begun if trial.number in chosen]

    def _news(self, trial: TrialResult) -> str:
        if trial.state != "running":
            return trial.reason
        with self._lock:
            return self._latest.get(trial.number, "by another process")

    def _score(self, trial: TrialResult) -> str:
        pairs = zip(self._sweep.objectives, trial.scores or (), strict=False)
        return "  ".join(f"{objective.metric} {score:.4g}" for objective, score in pairs)


def _title(objective: Any) -> str:
    metric = Metric(objective.metric, objective.mode)
    return f"{metric.name} {metric.arrow}"
