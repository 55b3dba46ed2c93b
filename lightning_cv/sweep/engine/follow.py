"""What has a trial's run reported so far, read from its progress file as it grows?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_cv.record.progress import FILE_NAME, parse_event


@dataclass(frozen=True)
class Validation:
    """One validation of a run.

    Args:
        line: of the file, from 0.
        epoch: from 0.
        step: optimizer steps done.
        metrics: by name.
    """

    line: int
    epoch: int
    step: int
    metrics: Mapping[str, float]


@dataclass
class Follower:
    """Reads what is new in a run's progress file; what a resume made void is forgotten.

    Args:
        folder: of the run; it need not be there yet.

    Attributes:
        validations: those that count, in order; in training without validation its epochs.
        step: optimizer steps of the latest event.
        samples_seen, time_s: images and seconds of training, as of the latest event.
        status: how the training ended, if it has: "completed", "preempted", "interrupted" or "failed".
        error: what the end says of it.
    """

    folder: Path
    validations: list[Validation] = field(default_factory=list)
    step: int = 0
    samples_seen: int = 0
    time_s: float = 0.0
    status: str = ""
    error: str = ""
    _offset: int = 0
    _lines: int = 0

    def read(self) -> bool:
        """Read what is new; whether there was anything."""
        path = self.folder / FILE_NAME
        try:
            if path.stat().st_size <= self._offset:
                return False
            with path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return False
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._take(parse_event(line))
            self._lines += 1
        self._offset += len(whole)
        return bool(whole)

    def _take(self, event: dict[str, Any] | None) -> None:
        if event is None:
            return
        kind = event["event"]
        if kind == "resume":
            kept = int(event.get("kept", self._lines))
            self.validations = [validation for validation in self.validations if validation.line < kept]
        elif kind in ("validation", "epoch"):
            metrics = {name: float(value) for name, value in event["metrics"].items()}
            self.validations.append(Validation(self._lines, event["epoch"], event["step"], metrics))
        if kind in ("curve", "validation", "epoch", "resume", "end"):
            self.step = event.get("step", self.step)
            self.samples_seen = event.get("samples_seen", self.samples_seen)
            self.time_s = event.get("time_s", self.time_s)
            self.status = event.get("status", "completed") if kind == "end" else ""
            self.error = event.get("error", "") if kind == "end" else ""

    def finite(self, metric: str) -> list[Validation]:
        """The validations in which a metric is a finite number."""
        return [v for v in self.validations if math.isfinite(v.metrics.get(metric, math.nan))]
