"""Which run folders are there?"""

from __future__ import annotations

from pathlib import Path

RECIPE = "recipe.yaml"


def run_folders(parent: Path) -> list[Path]:
    """The run folders in a folder of runs, that with the latest activity last."""
    folders = {path.parent for depth in ("*", "*/*") for path in parent.glob(f"{depth}/{RECIPE}")}
    return sorted(folders, key=lambda folder: (_active_ns(folder), folder.name))


def _active_ns(folder: Path) -> int:
    files = [folder / RECIPE, folder / "progress.jsonl"]
    return max(path.stat().st_mtime_ns for path in files if path.exists())
