"""Where does everything that one run writes go?"""

import os
import secrets
import string
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_cv.errors import UserError

# The launcher starts the command again for each further device; they join the folder of the first.
_FOLDER_VARIABLE = "LIGHTNING_CV_RUN_FOLDER"
_RESUMED_VARIABLE = "LIGHTNING_CV_RUN_RESUMED"


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
        UserError: it cannot be made.
    """
    joined = _joined()
    if joined is not None:
        return RunFolder(joined, run_id=joined.name, name=name)
    path = run_dir if run_dir is not None else _fresh(runs_dir / name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--run-dir {path}: cannot be made ({error.strerror})") from error
    os.environ[_FOLDER_VARIABLE] = str(path.resolve())
    return RunFolder(path, run_id=path.resolve().name, name=name, is_ours=True)


def holds_run(path: Path) -> bool:
    """Whether a run was started in this folder before; a process that joins a new run finds it there too."""
    return (path / "recipe.yaml").is_file() and (_joined() is None or _RESUMED_VARIABLE in os.environ)


def resume_run_folder(path: Path) -> RunFolder:
    """The folder of a run that goes on, or join it in a process that the launcher started for another device."""
    folder = open_run_folder(path)
    if _joined() is not None:
        return folder
    os.environ[_FOLDER_VARIABLE] = str(path.resolve())
    os.environ[_RESUMED_VARIABLE] = "1"
    return replace(folder, is_ours=True)


def discard_run_folder(folder: RunFolder) -> None:
    """Remove the folder of a run that was refused before it started; a folder with anything else in it stays."""
    own = {folder.recipe, folder.provenance, folder.path / ".lock"}
    if not folder.is_ours or _RESUMED_VARIABLE in os.environ or set(folder.path.iterdir()) - own:
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
    os.environ.pop(_RESUMED_VARIABLE, None)


def open_run_folder(path: Path) -> RunFolder:
    """The folder of an existing run.

    Raises:
        UserError: there is no run in `path`.
    """
    if not (path / "recipe.yaml").is_file():
        raise UserError(f"{path}: not the folder of a run (it has no recipe.yaml)")
    path_from_root = path.resolve()
    return RunFolder(path, run_id=path_from_root.name, name=path_from_root.parent.name)


def _fresh(parent: Path) -> Path:
    alphabet = string.ascii_lowercase + string.digits
    while True:
        path = parent / "".join(secrets.choice(alphabet) for _ in range(8))
        if not path.exists():
            return path


def _joined() -> Path | None:
    """The folder that the first process told this one, which was started for another device."""
    told = os.environ.get(_FOLDER_VARIABLE)
    return Path(told) if told and "LOCAL_RANK" in os.environ else None
