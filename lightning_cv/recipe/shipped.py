"""Which recipes come with the package, and where is the one that a user names?"""

from dataclasses import dataclass
from pathlib import Path

import lightning_cv
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import did_you_mean

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


def shipped_folder() -> Path:
    """Where shipped recipes lie: inside the installed package, or in a checkout beside it."""
    package = Path(lightning_cv.__file__).parent
    installed = package / "shipped" / "recipes"
    # Only a checkout has recipes beside the package; in an environment the neighbour could be anyone's.
    if not installed.is_dir() and (package.parent / "pyproject.toml").is_file():
        return package.parent / "recipes"
    return installed


def shipped() -> list[ShippedRecipe]:
    """All shipped recipes, sorted by task, then name."""
    files = sorted(shipped_folder().glob("*/*.yaml"))
    return [ShippedRecipe(path.stem, path.parent.name, read_summary(path), path) for path in files]


def read_summary(path: Path) -> str:
    """The first comment line of a recipe's header; empty if it does not begin with one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(500)
    return first.lstrip("#").strip() if first.startswith("#") else ""


def find(name_or_path: str) -> Path:
    """The recipe file that the user means: a path that exists, else a shipped `name` or `task/name`.

    A folder that holds a `recipe.yaml`, as the folder of a run does, means that file.

    Raises:
        UserError: there is none; names what is like it.
    """
    path = Path(name_or_path)
    for candidate in (path, path / "recipe.yaml"):
        if candidate.is_file():
            return candidate
    wanted = name_or_path.removesuffix(".yaml")
    found = [r for r in shipped() if wanted in (r.name, f"{r.task}/{r.name}", f"recipes/{r.task}/{r.name}")]
    if len(found) == 1:
        return found[0].path
    if found:
        raise UserError(f"{name_or_path}: several recipes: {', '.join(f'{r.task}/{r.name}' for r in found)}")
    if path.is_dir():
        raise UserError(f"{name_or_path}: a folder without recipe.yaml; give a recipe's name or file")
    kind = "no such file" if name_or_path.endswith(SUFFIXES) else "neither a file nor a shipped recipe"
    guess = did_you_mean(Path(wanted).name, [recipe.name for recipe in shipped()])
    raise UserError(f"{name_or_path}: {kind}{guess or ';'} see lightning-cv recipes")
