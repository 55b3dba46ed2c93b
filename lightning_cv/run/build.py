"""How does a composed recipe become objects, with every mistake in it told in one line?"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.check import check, restrict_imports
from lightning_cv.run.cli import RecipeCLI
from lightning_cv.run.parse_errors import explain

# What a recipe gets if it does not name them: no run without a record and a snapshot.
DEFAULT_CALLBACKS: dict[str, Any] = {
    "snapshot": {"class_path": "lightning_cv.callbacks.Snapshot"},
    "progress": {"class_path": "lightning_cv.callbacks.Progress"},
}


class Printed(Exception):  # noqa: N818 - no error: the resolved recipe was printed, and nothing is to be built
    """Ends a run that was only asked for its recipe."""


def check_recipe(composed: Composed, allow_code: tuple[str, ...]) -> dict[str, Any]:
    """The values of a recipe with the default callbacks, after every check that needs no object.

    Raises:
        UserError: unknown keys, classes or packages; impossible numbers of devices.
    """
    allowed = allowed_roots(allow_code)
    restrict_imports(allowed)
    values = copy.deepcopy(dict(composed.values))
    given = values.get("callbacks")
    if given is None or isinstance(given, Mapping):
        values["callbacks"] = {**copy.deepcopy(DEFAULT_CALLBACKS), **(given or {})}
    return check(values, composed.origins, allowed)


def build(composed: Composed, values: dict[str, Any], prepare: Callable[[RecipeCLI], None]) -> RecipeCLI:
    """The objects of a checked recipe; whatever the parser or a constructor refuses becomes one line."""
    try:
        return RecipeCLI(values, prepare)
    except (UserError, Printed, SystemExit, OSError):
        raise
    except Exception as error:
        raise UserError(explain(error, composed.origins, values)) from error


def print_if_asked(request: RunRequest, cli: RecipeCLI) -> None:
    """Print the resolved recipe and end, if that is all that was asked for.

    Raises:
        Printed: it was.
    """
    if request.print_config:
        print(cli.resolved, end="")
        raise Printed
