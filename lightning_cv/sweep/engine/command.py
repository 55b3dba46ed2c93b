"""Which command trains the recipe of a trial, and what did it say when it failed?"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.space import Value

LOG = "output.log"
RECIPE_FILE = "trial.yaml"

_TOLD = ("error: ", "bug: ", "stopped: ")


def told_values(recipe: Composed, values: Mapping[str, Value]) -> dict[str, Any]:
    """What a trial is told to use, by path, as it stands in its recipe: of an option with the parts searched inside."""
    return {path: recipe.get(path) for path in values}


def command_words(
    recipe: Composed, folder: Path, name: str, *, allow_code: tuple[str, ...]
) -> tuple[list[str], str | None]:
    """The command that trains a trial in its folder, and the function to call for it in a fork, if that will do."""
    words = ["fit", str(folder / RECIPE_FILE), "--run-dir", str(folder), f"--name={name}"]
    for package in allow_code:
        words += ["--allow-code", package]
    if num_devices(recipe.values) > 1:
        # Further devices need further processes, which Lightning starts by running the command again.
        return [sys.executable, "-P", "-m", "lightning_cv", *words], None
    return ["lightning-cv", *words], "lightning_cv.cli.main:main"


def last_words(log: Path, status: int) -> str:
    """What a program said when it failed, in one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.startswith(_TOLD)]
    return said[-1].partition(": ")[2][:300] if said else f"exit status {status}, see {log.name}"


def num_devices(recipe: Mapping[str, Any]) -> int:
    """On how many devices of one machine a recipe trains; 1 where it leaves that to what there is."""
    devices = (recipe.get("trainer") or {}).get("devices", "auto")
    if isinstance(devices, str):
        parts = [part for part in devices.split(",") if part.strip()]
        return len(parts) if len(parts) > 1 else max(1, int(devices)) if devices.strip().isdecimal() else 1
    if isinstance(devices, list):
        return len(devices)
    return max(1, devices) if isinstance(devices, int) else 1
