"""How long does a recipe take, judging by a run of it that was trained before?"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_cv.record.progress import FILE_NAME, parse_event

_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Earlier:
    """What an earlier run took.

    Args:
        run: its folder.
        epoch_s: seconds an epoch, validation included.
        step_s: seconds an optimizer step, with its share of the validations.
        devices: on how many it was trained, over all machines; None: not recorded.
    """

    run: Path
    epoch_s: float
    step_s: float
    devices: int | None


def find_earlier(parent: Path, *, batch_size: object) -> Earlier | None:
    """The earlier run below a folder that tells most: the one that was trained for longest.

    Args:
        parent: folder with the runs of the recipe.
        batch_size: of the recipe now; a run with another one tells nothing.
    """
    found = [earlier for path in sorted(parent.glob(f"*/{FILE_NAME}")) if (earlier := _read(path, batch_size))]
    return max(found, key=lambda timed: timed[0], default=(0.0, None))[1]


def last_events(path: Path) -> list[dict[str, Any]]:
    """The events at the end of a progress file, the newest first; what a crash left half is passed over."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    return [event for line in reversed(lines[size > _TAIL_BYTES :]) if (event := parse_event(line)) is not None]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty: there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _read(path: Path, batch_size: object) -> tuple[float, Earlier] | None:
    """The seconds that a run was trained, and what it took."""
    folder = path.parent
    ends = [event for event in last_events(path) if event["event"] == "validation"]
    if not ends or _batch_size(folder) != batch_size:
        return None
    time_s, epochs, steps = ends[0].get("time_s", 0.0), ends[0].get("epoch", -1) + 1, ends[0].get("step", 0)
    if not (isinstance(time_s, int | float) and time_s > 0 and epochs > 0 and steps > 0):
        return None
    devices = (read_json(folder / "provenance.json").get("training") or {}).get("devices")
    number = devices if isinstance(devices, int) else None
    return time_s, Earlier(folder, time_s / epochs, time_s / steps, number)


def _batch_size(folder: Path) -> object:
    """What the recipe of a run says; a recipe as runs write it has it on a line of its own."""
    try:
        lines = (folder / "recipe.yaml").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    values = [line.partition(":")[2].strip() for line in lines if line.strip().startswith("batch_size:")]
    return int(values[0]) if values and values[0].isdecimal() else None
