"""Which checkpoint file does a user mean by a run, a folder or a path?"""

from pathlib import Path

from lightning_cv.errors import UserError


def find_checkpoint(path: Path) -> Path:
    """The file of a checkpoint: itself, or of a run folder the best snapshot, else the last.

    Raises:
        UserError: `path` is neither, or the run has no snapshot yet.
    """
    if path.is_file():
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if not folder.is_dir():
        raise UserError(f"--ckpt {path}: no such file or run folder")
    best = sorted(folder.glob("best-*.ckpt"), key=lambda file: file.stat().st_mtime)
    for candidate in [*reversed(best), folder / "last.ckpt"]:
        if candidate.is_file():
            return candidate
    raise UserError(f"--ckpt {path}: holds no snapshot (looked for best-*.ckpt and last.ckpt in {folder})")


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None."""
    for folder in checkpoint.resolve().parents[:2]:
        if (folder / "recipe.yaml").is_file():
            return folder
    return None
