"""From which checkpoint does a run go on, and may it, with this recipe?"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_cv.errors import UserError
from lightning_cv.record.manifest import newest_valid, read_manifest
from lightning_cv.record.progress import read_progress
from lightning_cv.run.course import changes, course_sha256
from lightning_cv.run.folder import RunFolder

# The launcher starts the command again for each further device; they take the checkpoint that the first found.
_CHECKPOINT_VARIABLE = "LIGHTNING_CV_RESUME_FROM"


@dataclass(frozen=True)
class Resume:
    """Where a run goes on.

    Args:
        folder: the run.
        checkpoint: the newest valid one; None: it was stopped before the first, and starts anew.
        step: optimizer steps that the checkpoint knows.
    """

    folder: RunFolder
    checkpoint: Path | None
    step: int

    @property
    def points(self) -> list[tuple[int, dict[str, float]]]:
        """The points of the curves up to the checkpoint: (step, values by name)."""
        if not self.folder.progress.is_file():
            return []
        events = read_progress(self.folder.progress)
        points = [event for event in events if event["event"] == "curve" and event["step"] <= self.step]
        return [(event["step"], {**event["metrics"], "epoch": event["epoch"]}) for event in points]


def find_resume(folder: RunFolder, recipe: dict[str, Any]) -> Resume:
    """Where the run goes on; one line on stderr for each newer checkpoint that cannot be used.

    Args:
        folder: of the run.
        recipe: resolved, as it would be trained now.

    Raises:
        UserError: the recipe is another one, or there are checkpoints but none is valid.
    """
    _check_course(folder, recipe)
    told = os.environ.get(_CHECKPOINT_VARIABLE)
    if told is not None and not folder.is_ours:
        checkpoint = Path(told) if told else None
    else:
        checkpoint = _newest(folder, course_sha256(recipe))
        os.environ[_CHECKPOINT_VARIABLE] = str(checkpoint.resolve()) if checkpoint else ""
    step = read_manifest(checkpoint).step if checkpoint else 0
    return Resume(folder, checkpoint, step)


def forget_resume() -> None:
    """Called at the end of a run, so that the next one in this process looks for itself."""
    os.environ.pop(_CHECKPOINT_VARIABLE, None)


def _newest(folder: RunFolder, recipe_sha256: str) -> Path | None:
    if not folder.checkpoints.is_dir():
        return None
    checkpoint, skipped = newest_valid(folder.checkpoints, recipe_sha256=recipe_sha256)
    for line in skipped:
        print(f"skipped   {line}", file=sys.stderr)
    if checkpoint is None and any(folder.checkpoints.glob("*.ckpt.json")):
        raise UserError(
            f"{folder.checkpoints}: none of its checkpoints is valid, so the run cannot go on; nothing was changed "
            "(remove them to start it anew, or name another --run-dir)"
        )
    return checkpoint


def _check_course(folder: RunFolder, recipe: dict[str, Any]) -> None:
    before = yaml.safe_load(folder.recipe.read_text(encoding="utf-8"))
    differing = changes(before, recipe)
    if differing:
        path, old, new = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(
            f"{folder.path}: holds a run of another recipe: {path} was {old!s:.60}, is {new!s:.60}{more}; a run goes "
            "on with its own recipe (lightning-cv fit --resume), another one needs another --run-dir"
        )
