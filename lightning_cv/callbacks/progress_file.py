"""Where does a run write what other programs read about it while it trains? One JSON line an event."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "progress.jsonl"


class ProgressFile:
    """Appends events to `progress.jsonl` in a run's folder, and keeps the clock of the training.

    A line is handed to the operating system before `append` returns, so a killed process loses none. Every
    line is one strict JSON object with these keys, in this order:

    * `event`: "validation" (one was done in training), "epoch" (one ended, in training without validation),
      "resume" (training went on from a checkpoint: lines above it with a larger `step` are void), "end"
      (training ended), "validate" or "test" (such a command ended);
    * `epoch`: from 0; `step`: optimizer steps done; `samples_seen`: images trained on, all devices;
    * `time_s`: seconds of training so far, validation and earlier parts of a resumed run included;
    * `metrics`: name to number; a value that is not finite is the string "NaN", "Infinity" or "-Infinity";
    * `status`, only in "end": "completed", "interrupted" or "failed", and then `error`: type and message.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None  # None: nothing is written
        self.samples_seen = 0
        self._earlier_s = 0.0
        self._started_s: float | None = None

    @property
    def running(self) -> bool:
        """Whether the clock runs."""
        return self._started_s is not None

    @property
    def time_s(self) -> float:
        """Seconds of training so far."""
        return self._earlier_s + (0.0 if self._started_s is None else time.monotonic() - self._started_s)

    def start(self) -> None:
        """Let the clock run."""
        self._started_s = time.monotonic()

    def stop(self) -> None:
        """Stop the clock."""
        self._earlier_s, self._started_s = self.time_s, None

    def reset(self, *, samples_seen: int = 0, time_s: float = 0.0) -> None:
        """Count from these values on."""
        self.samples_seen, self._earlier_s = samples_seen, time_s

    def append(
        self, event: str, *, epoch: int, step: int, metrics: Mapping[str, float], outcome: Mapping[str, str]
    ) -> None:
        """Write one event; a line that a killed process left unfinished is closed first."""
        if self.folder is None:
            return
        record = {
            "event": event,
            "epoch": epoch,
            "step": step,
            "samples_seen": self.samples_seen,
            "time_s": round(self.time_s, 3),
            "metrics": {name: _strict(value) for name, value in metrics.items()},
            **outcome,
        }
        line = json.dumps(record, allow_nan=False) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / FILE_NAME).open("ab+") as file:
            if file.seek(0, 2) > 0:
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode())


def _strict(value: float) -> Any:
    """The number, or a string for those that strict JSON lacks."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
