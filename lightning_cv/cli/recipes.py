"""How does a user look at the shipped recipes and start one of their own?"""

import itertools
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.shipped import find, shipped
from lightning_cv.recipe.suggest import hint

HELP = """\
usage: lightning-cv recipes                             list the shipped recipes
       lightning-cv recipes show NAME                   print one
       lightning-cv recipes copy NAME DEST [--force]    start your own; DEST: a file or a folder"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return 0
    options = [argument for argument in arguments if argument.startswith("-")]
    action, *rest = [argument for argument in arguments if not argument.startswith("-")] or ["list"]
    for option in options:
        if action != "copy" or option != "--force":
            raise UserError(f"{option} is not an option of recipes {action}{hint(option, ['--force', '--help'])}")
    if action == "list" and not rest:
        _list()
    elif action == "show" and len(rest) == 1:
        sys.stdout.write(find(rest[0]).read_text(encoding="utf-8"))
    elif action == "copy" and len(rest) == 2:
        _copy(find(rest[0]), rest[1], force=bool(options))
    elif action in ("list", "show", "copy"):
        wanted = {"list": "nothing", "show": "NAME", "copy": "NAME DEST"}[action]
        raise UserError(f"recipes {action} takes {wanted}, got {' '.join(rest) or 'nothing'}")
    else:
        raise UserError(f"recipes has no {action}{hint(action, ['list', 'show', 'copy'])}")
    return 0


def _list() -> None:
    recipes = shipped()
    if not recipes:
        raise UserError("no recipes were shipped with this installation; give recipes as files")
    width = max(len(recipe.name) for recipe in recipes)
    for task, group in itertools.groupby(recipes, key=lambda recipe: recipe.task):
        print(task)
        for recipe in group:
            print(f"  {recipe.name:<{width}}  {recipe.summary}")


def _copy(source: Path, destination: str, *, force: bool) -> None:
    target = Path(destination)
    if target.is_dir() or destination.endswith("/"):
        target = target / source.name
    if target.exists() and not force:
        raise UserError(f"{display_path(target)} exists; --force overwrites it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except (OSError, shutil.SameFileError) as error:
        raise UserError(f"{display_path(target)}: cannot be written ({error})") from error
    print(f"copied {source.stem} to {display_path(target)}")
    print(f"run it: lightning-cv fit {shlex.quote(display_path(target))}")
