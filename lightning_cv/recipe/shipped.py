"""Which recipes and sweeps come with the package, and where is the one that a user names?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lightning_cv
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import did_you_mean, hint

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that comes with the package.

    Args:
        name: its file's name without suffix, e.g. `digits_resnet`.
        task: its folder, e.g. `classify`.
        summary: the first line of its header: what it shows.
        path: its file.
    """

    name: str
    task: str
    summary: str
    path: Path


@dataclass(frozen=True)
class ShippedSweep:
    """A sweep that comes with the package.

    Args:
        name: its file's name without suffix, e.g. `digits_grid`.
        summary: the first line of its header: what it shows.
        path: its file.
    """

    name: str
    summary: str
    path: Path


def shipped_folder(kind: str = "recipes") -> Path:
    """Where shipped `recipes` or `sweeps` lie: inside the installed package, or in a checkout beside it."""
    package = Path(lightning_cv.__file__).parent
    installed = package / "shipped" / kind
    # Only a checkout has recipes beside the package; in an environment the neighbour could be anyone's.
    if not installed.is_dir() and (package.parent / "pyproject.toml").is_file():
        return package.parent / kind
    return installed


def shipped() -> list[ShippedRecipe]:
    """All shipped recipes, sorted by task, then name."""
    files = sorted(shipped_folder().glob("*/*.yaml"))
    return [ShippedRecipe(path.stem, path.parent.name, read_summary(path), path) for path in files]


def shipped_sweeps() -> list[ShippedSweep]:
    """All shipped sweeps, sorted by name."""
    files = sorted(shipped_folder("sweeps").glob("*.yaml"))
    return [ShippedSweep(path.stem, read_summary(path), path) for path in files]


def read_summary(path: Path) -> str:
    """The first comment line of a recipe's header; empty if it does not begin with one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(500)
    return first.lstrip("#").strip() if first.startswith("#") else ""


def existing(name_or_path: str | Path, kind: str) -> Path | None:
    """The file itself, or in a folder its `recipe.yaml` or `sweep.yaml`, whichever the kind is; None: there is none."""
    path = Path(name_or_path)
    try:
        return next((candidate for candidate in (path, path / f"{kind}.yaml") if candidate.is_file()), None)
    except OSError:  # a name that no file can have
        return None


def find(name_or_path: str) -> Path:
    """The recipe file that the user means: a path that exists, else a shipped `name` or `task/name`.

    A folder that holds a `recipe.yaml`, as the folder of a run does, means that file.

    Raises:
        UserError: there is none; names what is like it.
    """
    names = {r.path: (f"{r.task}/{r.name}", r.name, f"recipes/{r.task}/{r.name}") for r in shipped()}
    found = existing(name_or_path, "recipe") or _named(name_or_path, names, "recipe")
    if found is not None:
        return found
    if _is_folder(name_or_path):
        raise UserError(f"{name_or_path}: a folder without recipe.yaml; give a recipe's name or file")
    guess = did_you_mean(_wanted(name_or_path).rpartition("/")[2], [recipe.name for recipe in shipped()])
    raise UserError(f"{name_or_path}: {_missing(name_or_path, 'recipe')}{guess or ';'} see lightning-cv recipes")


def find_sweep(name_or_path: str) -> Path:
    """The sweep file that the user means: a path that exists, else a shipped `name`.

    A folder that holds a `sweep.yaml` means that file.

    Raises:
        UserError: there is none; names what is like it.
    """
    names = {sweep.path: (sweep.name, f"sweeps/{sweep.name}") for sweep in shipped_sweeps()}
    found = existing(name_or_path, "sweep") or _named(name_or_path, names, "sweep")
    if found is not None:
        return found
    if _is_folder(name_or_path):
        raise UserError(f"{name_or_path}: a folder without sweep.yaml; give a sweep's name or file")
    guess = hint(_wanted(name_or_path).rpartition("/")[2], [sweep.name for sweep in shipped_sweeps()])
    raise UserError(f"{name_or_path}: {_missing(name_or_path, 'sweep')}{guess}")


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def _named(name: str, names: Mapping[Path, tuple[str, ...]], kind: str) -> Path | None:
    """The one shipped file that has this name among its names; the first of a file's names is unique."""
    found = [path for path, known in names.items() if _wanted(name) in known]
    if len(found) > 1:
        raise UserError(f"{name}: several {kind}s: {', '.join(names[path][0] for path in found)}")
    return found[0] if found else None


def _wanted(name: str) -> str:
    return name.removesuffix(".yaml")


def _missing(name_or_path: str, kind: str) -> str:
    return "no such file" if name_or_path.endswith(SUFFIXES) else f"neither a file nor a shipped {kind}"
