"""What does a user read at the end: the result, where the run is, how to look at it, how to sync it?"""

import shlex
from collections.abc import Mapping
from pathlib import Path

import lightning.pytorch as pl

from lightning_cv.callbacks.progress import is_printed
from lightning_cv.run.folder import RunFolder


def result_lines(
    folder: RunFolder | None,
    metrics: Mapping[str, float],
    *,
    trainer: pl.Trainer,
    monitor: str | None,
    checkpoint: Path | None = None,
) -> list[str]:
    """One line for each stage that was scored, the watched metric first, then where everything is."""
    lines = []
    watched = monitor.split("/", 1)[1] if monitor else ""
    for stage in ("val", "test"):
        printed = {name: value for name, value in metrics.items() if is_printed(name)}
        scores = {name.split("/", 1)[1]: value for name, value in printed.items() if name.startswith(f"{stage}/")}
        names = sorted(scores, key=lambda name: (name != watched, name))
        if names:
            lines.append(f"{stage:<9} " + "  ".join(f"{name} {scores[name]:.4f}" for name in names))
    snapshot = checkpoint or Path(getattr(trainer.checkpoint_callback, "best_model_path", ""))
    if snapshot.name:
        lines.append(f"snapshot  {_from_here(snapshot)}")
    if folder is not None:
        lines.append(f"run       {_from_here(folder.path)}")
        if folder.progress.is_file():
            lines.append(f"look      lightning-cv compare {shlex.quote(str(_from_here(folder.path)))} --curves")
    for logger in trainer.loggers:
        command = getattr(logger, "sync_command", None)
        if command:
            lines.append(f"sync      {command}")
    return lines


def _from_here(path: Path) -> Path:
    """The path as a user in the working folder would write it."""
    here = Path.cwd()
    path = path.absolute()
    return path.relative_to(here) if path.is_relative_to(here) else path
