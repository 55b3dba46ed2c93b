"""Where does everything that one run writes go, and what does it say about where it came from?"""

import json
import os
import platform
import secrets
import shlex
import string
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lightning_cv import __version__
from lightning_cv.errors import UserError

# The launcher starts the command again for each further device; they join the folder of the first.
_FOLDER_VARIABLE = "LIGHTNING_CV_RUN_FOLDER"
_RECORDED = ("torch", "torchvision", "lightning", "torchmetrics", "timm", "jsonargparse", "wandb", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """The folder `runs/<recipe name>/<run id>/` of one run. Nothing is written outside it.

    Args:
        path: the folder.
        run_id: its name, and the id of the run in W&B.
        name: the recipe's name.
        is_ours: whether this process made the folder, and so writes what is written once.
    """

    path: Path
    run_id: str
    name: str
    is_ours: bool = False

    @property
    def recipe(self) -> Path:
        """The complete, resolved recipe; `lightning-cv fit --config` on it repeats the run."""
        return self.path / "recipe.yaml"

    @property
    def provenance(self) -> Path:
        """Where the run came from: command, revision, versions, machine."""
        return self.path / "provenance.json"

    @property
    def progress(self) -> Path:
        """One JSON line per validation and at the end."""
        return self.path / "progress.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Snapshots of the run."""
        return self.path / "checkpoints"


def create_run_folder(runs_dir: Path, name: str, run_dir: Path | None) -> RunFolder:
    """Make the folder of a new run, or join it in a process that the launcher started for another device.

    Raises:
        UserError: `run_dir` already holds a run, or cannot be made.
    """
    joined = os.environ.get(_FOLDER_VARIABLE)
    if joined and "LOCAL_RANK" in os.environ:
        return RunFolder(Path(joined), run_id=Path(joined).name, name=name)
    path = run_dir if run_dir is not None else _fresh(runs_dir / name)
    if (path / "recipe.yaml").exists():
        raise UserError(f"--run-dir {path}: holds a run already; name a folder that does not exist yet")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--run-dir {path}: cannot be made ({error.strerror})") from error
    os.environ[_FOLDER_VARIABLE] = str(path.resolve())
    return RunFolder(path, run_id=path.name, name=name, is_ours=True)


def discard_run_folder(folder: RunFolder) -> None:
    """Remove the folder of a run that was refused before it started; a folder with anything else in it stays."""
    own = {folder.recipe, folder.provenance}
    if not folder.is_ours or set(folder.path.iterdir()) - own:
        return
    for path in own:
        path.unlink(missing_ok=True)
    # The folders of the run, of its recipe and of all runs, as far as they are empty.
    for path in (folder.path, *folder.path.parents[:2]):
        if any(path.iterdir()) or path.absolute() == Path.cwd():
            return
        path.rmdir()


def forget_run_folder() -> None:
    """Called at the end of a run, so that the next one in this process starts its own."""
    os.environ.pop(_FOLDER_VARIABLE, None)


def open_run_folder(path: Path) -> RunFolder:
    """The folder of an existing run.

    Raises:
        UserError: there is no run in `path`.
    """
    if not (path / "recipe.yaml").is_file():
        raise UserError(f"{path}: not the folder of a run (it has no recipe.yaml)")
    return RunFolder(path, run_id=path.name, name=path.resolve().parent.name)


def write_provenance(folder: RunFolder, *, seed: int | bool | None) -> None:
    """Write what is needed to repeat the run or to doubt it."""
    record: dict[str, Any] = {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "git": _git_state(),
        "versions": {"lightning_cv": __version__, "python": platform.python_version(), **_versions()},
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "devices": _devices()},
    }
    folder.provenance.write_text(json.dumps(record, indent=2) + "\n")


def _fresh(parent: Path) -> Path:
    alphabet = string.ascii_lowercase + string.digits
    while True:
        path = parent / "".join(secrets.choice(alphabet) for _ in range(8))
        if not path.exists():
            return path


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _RECORDED}


def _devices() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _git_state() -> dict[str, Any] | None:
    """Revision of the working folder, and whether it has uncommitted changes; None outside a checkout."""
    try:
        revision = _git("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603, S607
    return done.stdout.strip()
