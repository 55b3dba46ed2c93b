"""Makes run folders as a training leaves them: W&B's files beside `progress.jsonl`."""

from collections.abc import Iterable
from pathlib import Path

import wandb

from lightning_cv.record.progress import ProgressFile
from lightning_cv.tracking import WandbTracker


def point(step: int) -> dict[str, float]:
    """What a training measures at a step; always the same, as after a resume. The best score is at step 4."""
    return {"train/loss": 1.0 / step, "val/accuracy": 0.9 - abs(step - 4) / 100, "epoch": step // 5}


def train(folder: Path, steps: Iterable[int], *, resumed_at: int | None = None, exit_code: int = 0) -> None:
    """Track some steps as a training does, after a resume at a step if one is given; the run's id is its folder's."""
    tracker = WandbTracker(project="digits", save_dir=str(folder), id=folder.name, group="seeds", tags=["small"])
    tracker.watch_metric("val/accuracy", "max")
    if resumed_at is not None:
        tracker.resume(resumed_at, [(step, point(step)) for step in range(1, resumed_at + 1)])
    else:
        tracker.log_hyperparams({"model": {"lr": 0.1}})
    for step in steps:
        tracker.log_metrics(point(step), step=step)
    tracker.finish(exit_code)
    wandb.teardown()  # as at the end of a process: all is on disk, and nothing is remembered


def measure(folder: Path, steps: Iterable[int]) -> None:
    """Write `progress.jsonl` alone."""
    file = ProgressFile()
    file.open(folder)
    for step in steps:
        metrics = point(step)
        file.append("curve", epoch=int(metrics.pop("epoch")), step=step, metrics=metrics)
