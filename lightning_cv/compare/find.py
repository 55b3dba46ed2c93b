"""Which runs do the words of a command line mean?"""

from __future__ import annotations

import gc
import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_cv.compare.folder import has_trained, is_run_folder, read_folder
from lightning_cv.compare.offline import is_offline_run, read_offline, segment_id
from lightning_cv.compare.run import Run, WandbPath
from lightning_cv.compare.server import read_server, wandb_path
from lightning_cv.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where one run is.

    Args:
        folder: of a run of this platform.
        segments: directories of one offline W&B run.
        server: a run on a W&B server.
    """

    folder: Path | None = None
    segments: tuple[Path, ...] = ()
    server: WandbPath | None = None

    def read(self) -> Run:
        """The run.

        Raises:
            UserError: a W&B server does not give it.
        """
        if self.folder is not None:
            return read_folder(self.folder)
        if self.segments:
            return read_offline(self.segments)
        assert self.server is not None
        return read_server(self.server)


def find_places(words: Sequence[str]) -> list[Place]:
    """Every run that the words name, in their order, each once.

    A word is the folder of a run or a file in it, a folder with runs somewhere below it, a pattern of such, an
    offline W&B directory, or `entity/project/run` in W&B. A W&B directory inside the folder of a run means that
    run. Directories of one W&B run that lie side by side are one run.

    Raises:
        UserError: a word that names nothing, or a folder without a run.
    """
    places: list[Place] = []
    segments: dict[tuple[Path, str], list[Path]] = {}
    for word in words:
        for found in _expand(word):
            if isinstance(found, WandbPath):
                places.append(Place(server=found))
            elif (owner := _owner(found)) is not None:
                places.append(Place(folder=owner))
            else:
                key = (found.resolve().parent, segment_id(found))
                if key not in segments:
                    segments[key] = []
                    places.append(Place(segments=(found,)))
                segments[key].append(found)
    whole = [
        Place(segments=_unique(segments[place.segments[0].resolve().parent, segment_id(place.segments[0])]))
        if place.segments
        else place
        for place in places
    ]
    seen = {_identity(place): place for place in reversed(whole)}
    return [place for place in whole if seen.pop(_identity(place), None) is not None]


def read_runs(places: Iterable[Place]) -> list[Run]:
    """The runs, in this order.

    Raises:
        UserError: a W&B server does not give one.
    """
    # Many small objects are made and none of them in a circle: looking for circles would take a sixth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return [place.read() for place in places]
    finally:
        if collects:
            gc.enable()


def _expand(word: str) -> Iterable[Path | WandbPath]:
    server = wandb_path(word)
    if server is not None and "://" in word:
        return [server]
    path = Path(word).expanduser()
    if path.exists():
        return _below(_folder(path), word)
    if any(character in word for character in "*?["):
        hits = [Path(hit) for hit in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  # takes absolute ones too
        found = [run for hit in hits if hit.is_dir() for run in _walk(hit)]
        if not found:
            raise UserError(f"{word}: {'no run in what' if hits else 'nothing'} matches it")
        return found
    # `runs/digits/typo` looks like a run in W&B too.
    if server is None or Path(path.parts[0]).exists():
        raise UserError(f"{word}: no such folder, and no W&B run (entity/project/run)")
    return [server]


def _folder(path: Path) -> Path:
    """The folder that a path means: of a file of a run the run's."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == "checkpoints" else path.parent


def _below(path: Path, word: str) -> list[Path]:
    found = _walk(path)
    if not found:
        raise UserError(f"{word}: no run in this folder or below it (a run has a recipe.yaml or a progress.jsonl)")
    return found


def _walk(path: Path) -> list[Path]:
    """Runs in a folder and below it, in the order of their names; what a run holds is its own."""
    if has_trained(path) or is_offline_run(path):
        return [path]
    try:
        below = sorted(Path(entry) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    found = [run for folder in below if not folder.name.startswith(".") for run in _walk(folder)]
    # A sweep may keep its recipe above its runs.
    return found or ([path] if is_run_folder(path) else [])


def _owner(path: Path) -> Path | None:
    """The folder of the run that a W&B directory, or the folder itself, belongs to."""
    for folder in (path, *list(path.absolute().parents)[:2]):
        if is_run_folder(folder):
            return folder
    return None


def _unique(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple({path.resolve(): path for path in paths}.values())


def _identity(place: Place) -> object:
    if place.folder is not None:
        return place.folder.resolve()
    return tuple(path.resolve() for path in place.segments) or place.server
