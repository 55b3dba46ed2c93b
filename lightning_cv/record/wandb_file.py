"""What stands in the file of a W&B run, whoever wrote it?"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import orjson

READ_WITHIN_S = 60.0


def read_records(file: Path) -> list[dict[str, Any]]:
    """All records of a `run-<id>.wandb` file up to the first that is torn, as `wandb-core leet inspect` gives them.

    That is W&B's own documented reader; the format itself is private.

    Raises:
        FileNotFoundError: this installation of W&B has no such program.
        OSError, subprocess.TimeoutExpired: it cannot be run, or does not end.
    """
    command = [str(_reader()), "leet", "inspect", "--no-observability", "--json", "--run-file", str(file)]
    done = subprocess.run(command, capture_output=True, timeout=READ_WITHIN_S, check=False)  # noqa: S603
    records = []
    for line in done.stdout.splitlines():
        try:
            record = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _reader() -> Path:
    """The program beside wandb's own code, found without loading it."""
    found = importlib.util.find_spec("wandb")
    for folder in (found.submodule_search_locations or []) if found else []:
        for name in ("wandb-core", "wandb-core.exe"):
            if (program := Path(folder) / "bin" / name).is_file():
                return program
    raise FileNotFoundError("wandb-core")
