"""Which checkpoint file does a user mean by a run, a folder or a path?"""

import pickle
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lightning_cv.errors import UserError
from lightning_cv.record.manifest import manifest_path, newest_valid, problem_of


def find_checkpoint(path: Path) -> Path:
    """The file of a checkpoint: itself, or of a run folder the best valid snapshot, else the newest.

    Damaged files are passed over with a line each on stderr.

    Raises:
        UserError: `path` is neither, or the run has no valid snapshot.
    """
    if path.is_file():
        problem = problem_of(path) if manifest_path(path).exists() else None
        if problem is not None:
            raise UserError(f"--ckpt {path}: {problem}; it is not loaded")
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if not folder.is_dir():
        raise UserError(f"--ckpt {path}: no such file or run folder")
    for kind in ("best-*.ckpt", "last-*.ckpt"):
        checkpoint, skipped = newest_valid(folder, kind)
        for line in skipped:
            print(f"skipped   {line}", file=sys.stderr)
        if checkpoint is not None:
            return _best_of(folder, checkpoint) if kind.startswith("best") else checkpoint
    raise UserError(f"--ckpt {path}: holds no valid snapshot (looked for best-*.ckpt and last-*.ckpt in {folder})")


def _best_of(folder: Path, newest: Path) -> Path:
    """Of several best files the best one, as the newest of them knows it."""
    if len(list(folder.glob("best-*.ckpt"))) == 1:
        return newest
    callbacks = torch.load(newest, map_location="cpu", weights_only=True, mmap=True).get("callbacks", {})
    names = [state["best"]["name"] for state in callbacks.values() if isinstance(state.get("best"), dict)]
    best = folder / names[0] if names else newest
    return best if problem_of(best) is None else newest


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None."""
    for folder in checkpoint.resolve().parents[:2]:
        if (folder / "recipe.yaml").is_file():
            return folder
    return None


@contextmanager
def reading(checkpoint: Path | None) -> Iterator[None]:
    """Around whatever reads a checkpoint file: one that cannot be used is one line.

    Raises:
        UserError: the file is damaged, holds more than tensors and plain values, or belongs to another network.
    """
    if checkpoint is not None and not zipfile.is_zipfile(checkpoint):
        raise UserError(f"--ckpt {checkpoint}: damaged, or no checkpoint; it is not loaded")
    try:
        yield
    except pickle.UnpicklingError as error:
        raise UserError(f"--ckpt {checkpoint}: holds more than tensors and plain values; it is not loaded") from error
    except RuntimeError as error:
        heading, *problems = str(error).splitlines()
        if "loading state_dict" in heading:
            problem = problems[0].strip() if problems else heading
            raise UserError(
                f"--ckpt {checkpoint}: belongs to another network than the recipe's ({problem:.200})"
            ) from error
        if "PytorchStreamReader" in heading:
            raise UserError(f"--ckpt {checkpoint}: damaged; it is not loaded") from error
        raise
