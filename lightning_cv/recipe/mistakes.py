"""How does an error line name the place in a file, and the value that was given there?"""

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import Recipe, display_path


def mistake(said: Recipe, path: str, problem: str) -> UserError:
    """The error `file:line: path: problem`; the line is that of the nearest value around the dotted path."""
    at = path
    while at and at not in said.lines:
        at = at.rpartition(".")[0]
    place = said.origin(at) if at else f"{display_path(said.path)}:1"
    return UserError(f"{place}: " + " ".join(f"{path}: {problem}".split()))


def shown(value: object) -> str:
    """A value on one line, in the words of YAML, at most 60 characters of it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"{value!r:.60}"
