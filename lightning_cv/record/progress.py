"""Where does a run write what other programs read about it while it trains? One JSON line an event."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "progress.jsonl"


class ProgressFile:
    """Appends events to `progress.jsonl` in a run's folder, and keeps the clock of the training.

    A line is handed to the operating system before `append` returns, so a killed process loses none. Every
    line is one strict JSON object with these keys, in this order:

    * `event`: "curve" (one point of the curves: all that the trackers got for this step), "validation" (one was done
      in training), "epoch" (one ended, in training without validation), "resume" (training went on from a
      checkpoint), "end" (training ended), "validate" or "test" (such a command ended);
    * `epoch`: from 0; `step`: optimizer steps done; `samples_seen`: images trained on, all devices;
    * `time_s`: seconds of training so far, validation and earlier parts of a resumed run included;
    * `metrics`: name to number; a value that is not finite is the string "NaN", "Infinity" or "-Infinity";
    * `kept`, only in "resume": how many lines from the top of the file still count. Those between them and
      this event tell of steps that the checkpoint does not know, and are void;
    * `status`, only in "end": "completed", "preempted" (it can be resumed), "interrupted" or "failed", and
      then `error`: type and message.

    `read_progress` reads such a file. Where the disk is full the lines wait in memory for the next `append`.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None  # None: nothing is written
        self.samples_seen = 0
        self.num_lines = 0  # in the file, void ones and those that wait included
        self._waiting = b""
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

    @property
    def clock(self) -> tuple[int, float]:
        """Samples seen and seconds of training so far."""
        return self.samples_seen, self.time_s

    def start(self) -> None:
        """Let the clock run."""
        self._started_s = time.monotonic()

    def stop(self) -> None:
        """Stop the clock."""
        self._earlier_s, self._started_s = self.time_s, None

    def reset(self, *, samples_seen: int = 0, time_s: float = 0.0) -> None:
        """Count from these values on."""
        self.samples_seen, self._earlier_s = samples_seen, time_s

    def open(self, folder: Path | None) -> None:
        """Write to this folder's file from now on, behind what is there; None: write nothing."""
        self.folder = folder
        path = None if folder is None else folder / FILE_NAME
        # A line that a killed process left unfinished is one too: `append` closes it.
        text = path.read_bytes() if path is not None and path.is_file() else b""
        self.num_lines = text.count(b"\n") + (not text.endswith(b"\n") and bool(text))

    def append(
        self,
        event: str,
        *,
        epoch: int,
        step: int,
        metrics: Mapping[str, float],
        outcome: Mapping[str, str | int] | None = None,
        clock: tuple[int, float] | None = None,
    ) -> None:
        """Write one event; a line that a killed process left unfinished is closed first.

        Args:
            event: its kind, see the class.
            epoch: from 0.
            step: optimizer steps done.
            metrics: name to number.
            outcome: what only some kinds have.
            clock: samples seen and seconds of training at the event; None: now.

        Raises:
            OSError: it cannot be written now; it is kept, and written before the next one.
        """
        if self.folder is None:
            return
        samples_seen, time_s = clock or self.clock
        record = {
            "event": event,
            "epoch": epoch,
            "step": step,
            "samples_seen": samples_seen,
            "time_s": round(time_s, 3),
            "metrics": {name: _strict(value) for name, value in metrics.items()},
            **(outcome or {}),
        }
        self._waiting += json.dumps(record, allow_nan=False).encode() + b"\n"
        self.num_lines += 1
        self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: it cannot be written now.
        """
        if self.folder is None or not self._waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / FILE_NAME).open("ab+", buffering=0) as file:
            size = file.seek(0, 2)
            if size > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    self._waiting = b"\n" + self._waiting
            written = 0
            try:
                while written < len(self._waiting):
                    written += file.write(self._waiting[written:]) or 0
            except OSError:
                file.truncate(size)  # no half line: all of it waits for the next time
                raise
        self._waiting = b""


def read_progress(path: Path) -> list[dict[str, Any]]:
    """The events of a run that count, in order: those that a resume made void are left out.

    Lines that are no complete JSON object (a process was killed while it wrote) are passed over. Numbers that
    are not finite come back as floats.

    Args:
        path: `progress.jsonl`, or the run's folder.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        path = path / FILE_NAME
    text = path.read_bytes()
    events = _sound_events(text)
    if events is None:
        events = _valid_events([parse_event(line) for line in text.splitlines()])
    if b'"NaN"' in text or b'Infinity"' in text:
        for event in events:
            metrics = event["metrics"]
            for name, value in metrics.items():
                if isinstance(value, str):
                    metrics[name] = float(value)
    return events


def _sound_events(text: bytes) -> list[dict[str, Any]] | None:
    """The events of a file of which every line counts, as most do, in a third of the time; None for another."""
    try:
        events = list(map(orjson.loads, text.splitlines()))
        kinds = {event["event"] for event in events}
        whole = all(type(event["metrics"]) is dict for event in events)
    except (ValueError, TypeError, KeyError):
        return None
    return events if whole and "resume" not in kinds else None


def _valid_events(lines: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """What remains of the lines, one event or None each, once every resume has made its part void."""
    for index, event in enumerate(lines):
        if event is not None and event["event"] == "resume":
            # The file may have lost lines that a full disk or a crash of the machine took.
            kept = min(int(event.get("kept", index)), index)
            lines[kept:index] = [None] * (index - kept)
    return [event for event in lines if event is not None]


def parse_event(line: bytes) -> dict[str, Any] | None:
    """The event that a line tells of; None for a line that is none."""
    try:
        event = orjson.loads(line)
    except ValueError:
        try:
            event = json.loads(line)  # takes a bare NaN
        except ValueError:
            return None
    whole = isinstance(event, dict) and "event" in event and isinstance(event.get("metrics"), dict)
    return event if whole else None


def _strict(value: float) -> Any:
    """The number, or a string for those that strict JSON lacks."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
