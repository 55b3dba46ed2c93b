"""How does a study begin from a sweep, and how is it found again by its folder?"""

from __future__ import annotations

import os
from pathlib import Path

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.sweep.definition.file import plain_sweep, read_sweep
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.definition.yaml_text import as_yaml
from lightning_cv.sweep.engine.study import StudyPlace, open_study
from lightning_cv.sweep.storage.base import JOURNAL, open_storage, shown_url

SWEEP_FILE = "sweep.yaml"
BASE_FILE = "base.yaml"
STORAGE_VARIABLE = "LIGHTNING_CV_STORAGE"


def begin_study(sweep: Sweep, runs_dir: Path) -> StudyPlace:
    """Make the study of a sweep, or go on with it; its folder gets what is needed to do so again.

    Raises:
        UserError: the folder cannot be made, or there is a study of this name with another sweep.
    """
    folder = runs_dir / sweep.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{display_path(folder)}: cannot be made ({error.strerror})") from error
    place = open_study(sweep, open_storage(sweep.storage, folder), folder)
    header = [f"The sweep {sweep.name} as it is searched in this folder; go on with: lightning-cv sweep {folder}"]
    write_text_atomically(folder / BASE_FILE, as_yaml(sweep.composed.values, [f"The recipe that {sweep.name} varies"]))
    write_text_atomically(folder / SWEEP_FILE, as_yaml(plain_sweep(sweep, recipe=BASE_FILE), header))
    return place


def is_study(path: Path) -> bool:
    """Whether a folder is that of a study."""
    return (path / SWEEP_FILE).is_file() and (path / BASE_FILE).is_file()


def sweep_of_study(word: str, runs_dir: Path, *, storage: str | None = None, trials: int | None = None) -> Sweep:
    """The sweep that is searched in a study's folder, or in the one of this name below the folder of runs.

    Args:
        word: what the user calls the study.
        runs_dir: folder of all runs.
        storage: URL of its database, where the one that was recorded lacks its password.
        trials: how many there are to be now.

    Raises:
        UserError: there is no such study, or the password of its database is not known.
    """
    folder = next((path for path in (Path(word), runs_dir / word) if is_study(path)), None)
    if folder is None:
        raise UserError(f"{word}: not the folder of a study, nor the name of one in {display_path(runs_dir)}")
    given = storage or os.environ.get(STORAGE_VARIABLE)
    sweep = read_sweep(folder / SWEEP_FILE, name=folder.resolve().name, trials=trials, storage=given)
    if sweep.storage is not None and sweep.storage == shown_url(sweep.storage) and "***" in sweep.storage:
        raise UserError(
            f"{display_path(folder / SWEEP_FILE)}: the password of {sweep.storage} is not recorded; "
            f"give --storage URL, or set {STORAGE_VARIABLE}"
        )
    return sweep


def find_study(word: str, runs_dir: Path, *, storage: str | None = None) -> StudyPlace:
    """An existing study, to look at.

    Raises:
        UserError: there is none.
    """
    sweep = sweep_of_study(word, runs_dir, storage=storage)
    folder = next(path for path in (Path(word), runs_dir / word) if is_study(path))
    if sweep.storage is None and not (folder / JOURNAL).is_file():
        raise UserError(f"{display_path(folder / JOURNAL)}: missing; the study's trials were there")
    return open_study(sweep, open_storage(sweep.storage, folder), folder)
