"""What does a sweep file say, and is all of it possible with the recipe that it names?"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed, compose
from lightning_cv.recipe.files import Recipe, display_path, read_recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.paths import join_path
from lightning_cv.recipe.shipped import existing, find
from lightning_cv.recipe.space import Choice, Range, Space, Value
from lightning_cv.recipe.space_file import plain_space, read_space, read_values
from lightning_cv.recipe.suggest import hint
from lightning_cv.record.redact import redact
from lightning_cv.sweep.definition.controller import MOST_VALUES
from lightning_cv.sweep.definition.objectives import COSTS, read_objectives, read_pick
from lightning_cv.sweep.definition.options import plain_named, read_pruner, read_sampler
from lightning_cv.sweep.definition.pruners import pruner_options
from lightning_cv.sweep.definition.spec import Named, Sweep
from lightning_cv.sweep.definition.stated import apply, check_space, fix
from lightning_cv.sweep.storage.base import shown_url

MAX_TRIALS = 100_000

_KEYS = (
    *("name", "recipe", "objective", "pick", "sampler", "trials", "retries"),
    *("fixed", "space", "pruner", "storage", "listed"),
)
_DATABASES = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def read_sweep(path: Path, *, name: str | None = None, trials: int | None = None, storage: str | None = None) -> Sweep:
    """Read a sweep and the recipe that it names; warns, a line each, of what is possible but hardly meant.

    Args:
        path: the file.
        name: of the study, in place of the file's (`--name`).
        trials: how many, in place of the file's (`--trials`).
        storage: URL of a database, in place of the file's (`--storage`).

    Raises:
        UserError: names file, line and key, what was given and what is allowed.
    """
    said = read_recipe(path)
    _check_keys(said)
    fixed = _fixed(said)
    composed = fix(said, _base(said), fixed)
    sampler, seed = read_sampler(said)
    space = read_space(said, grid=None if "listed" in said.values else sampler.name == "grid")
    check_space(said, composed, space, fixed)
    sweep = Sweep(
        name=_name(said, name),
        recipe=said.values["recipe"],
        composed=composed,
        fixed=fixed,
        space=space,
        objectives=read_objectives(said),
        pick=read_pick(said),
        sampler=sampler,
        seed=seed,
        trials=_trials(said, trials, space, grid=sampler.name == "grid"),
        pruner=read_pruner(said),
        storage=_storage(said, storage),
        retries=_whole(said, "retries", 2, least=0),
        listed=_listed(said, space),
        path=path,
    )
    _check_together(said, sweep)
    return sweep


def trial_recipe(sweep: Sweep, values: Mapping[str, Value]) -> Composed:
    """The recipe of a trial: the sweep's with these values of its space."""
    return apply(sweep.composed, sweep.space, values)


def base_recipe(named: str, folder: Path) -> Path:
    """The file of the recipe that a sweep in `folder` names: beside it, else from the working folder, else shipped.

    Raises:
        UserError: there is none.
    """
    return existing(folder / named, "recipe") or find(named)


def plain_sweep(sweep: Sweep, *, recipe: str) -> dict[str, Any]:
    """The plain data that `read_sweep` reads back to an equal sweep, without the password of its storage.

    Args:
        sweep: what is written down.
        recipe: name or file of the recipe without the fixed values, or with them.
    """
    objectives = [{"metric": objective.metric, "mode": objective.mode} for objective in sweep.objectives]
    sampler = plain_named(sweep.sampler)
    plain = {
        "name": sweep.name,
        "recipe": recipe,
        "objective": objectives[0] if len(objectives) == 1 else objectives,
        "pick": sweep.pick,
        "sampler": {"name": sampler.pop("name"), "seed": sweep.seed, **sampler},
        "trials": sweep.trials,
        "retries": sweep.retries,
        "fixed": dict(sweep.fixed) or None,
        "space": plain_space(sweep.space),
        "pruner": plain_named(sweep.pruner) if sweep.pruner else None,
        "storage": shown_url(sweep.storage) if sweep.storage else None,
        "listed": [dict(values) for values in sweep.listed] or None,
    }
    return {key: value for key, value in plain.items() if value is not None}


def _check_keys(said: Recipe) -> None:
    for key in said.values:
        if key not in _KEYS:
            is_recipe = {"model", "data", "trainer"} & said.values.keys()
            more = "; this looks like a recipe: lightning-cv fit runs it" if is_recipe else hint(str(key), _KEYS)
            raise mistake(said, str(key), f"is no key of a sweep{more}")
    for key in ("recipe", "objective", "space"):
        if key not in said.values:
            raise mistake(said, key, "is missing")


def _base(said: Recipe) -> Composed:
    named = said.values["recipe"]
    if not isinstance(named, str):
        raise mistake(said, "recipe", f"{shown(named)} given, needed: the name or file of a recipe")
    try:
        file = base_recipe(named, said.path.parent)
    except UserError as error:
        raise mistake(said, "recipe", str(error)) from error
    return compose([read_recipe(file)])


def _fixed(said: Recipe) -> dict[str, Any]:
    raw = said.values.get("fixed") or {}
    if not isinstance(raw, dict):
        raise mistake(said, "fixed", f"{shown(raw)} given, needed: a mapping of paths of the recipe to values")
    return {str(path): value for path, value in raw.items()}


def _name(said: Recipe, given: str | None) -> str:
    name = given if given is not None else said.values.get("name", said.path.stem)
    if not isinstance(name, str) or name in ("", ".", "..") or any(char in name for char in '/\\:*?"<>|\0\n'):
        problem = f"{shown(name)} given, needed: a name that can be a folder's, without / \\ : * ? \" < > |"
        raise UserError(f"--name: {problem}") if given is not None else mistake(said, "name", problem)
    return name


def _trials(said: Recipe, given: int | None, space: Space, *, grid: bool) -> int | None:
    if given is not None and not 1 <= given <= MAX_TRIALS:
        raise UserError(f"--trials {given}: allowed: 1 to {MAX_TRIALS}")
    if given is not None and "listed" in said.values:
        raise UserError(f"--trials {given}: {display_path(said.path)} lists its trials, which fixes their number")
    wanted = given or (_whole(said, "trials", 0, least=1) if "trials" in said.values else None)
    if "listed" in said.values:
        return wanted
    if not grid:
        if wanted is None:
            raise mistake(said, "trials", "is missing: how many trials?")
        return wanted
    num_points = sum(1 for _ in itertools.islice(space.grid(), MAX_TRIALS + 1))
    if num_points > MAX_TRIALS:
        raise mistake(said, "space", f"a grid of more than {MAX_TRIALS} points")
    if wanted is not None and wanted > num_points:
        problem = f"{wanted} given, the grid has {num_points} points"
        raise UserError(f"--trials: {problem}") if given else mistake(said, "trials", problem)
    return wanted


def _whole(said: Recipe, key: str, default: int, *, least: int) -> int:
    value = said.values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TRIALS:
        raise mistake(said, key, f"{shown(value)} given, allowed: whole numbers from {least} to {MAX_TRIALS}")
    return value


def _storage(said: Recipe, given: str | None) -> str | None:
    url = given if given is not None else said.values.get("storage")
    if url is None:
        return None
    scheme, mark, rest = str(url).partition("://")
    if not isinstance(url, str) or not mark or scheme.partition("+")[0] not in (*_DATABASES, "sqlite"):
        allowed = "a database such as postgresql://user@host/name, mysql://user@host/name, sqlite:///file"
        problem = f"{shown(redact(shown_url(url) if isinstance(url, str) else url))} given, needed: {allowed}"
        raise UserError(f"--storage: {problem}") if given is not None else mistake(said, "storage", problem)
    return f"{_DATABASES.get(scheme, scheme)}://{rest}"


def _listed(said: Recipe, space: Space) -> tuple[Mapping[str, Value], ...]:
    raw = said.values.get("listed")
    if raw is None:
        return ()
    if not isinstance(raw, list) or not raw:
        raise mistake(
            said, "listed", f"{shown(raw)} given, needed: a list of trials, each a mapping of paths to values"
        )
    return tuple(read_values(said, f"listed.{index}", space) for index in range(len(raw)))


def _check_together(said: Recipe, sweep: Sweep) -> None:
    ranges = [parameter for parameter in sweep.space.parameters if isinstance(parameter, Range) and not parameter.when]
    if sweep.sampler.name == "cmaes":
        if len(sweep.objectives) > 1:
            raise mistake(said, "sampler", "cmaes takes one objective; tpe and gp take several")
        if len(ranges) < 2:
            raise mistake(said, "sampler", "cmaes needs at least two ranges that are always searched; take tpe or gp")
        if len(ranges) < len(sweep.space.parameters):
            message = "cmaes draws choices, and what depends on them, at random; tpe and gp learn those too"
            warnings.warn(str(mistake(said, "sampler", message)), stacklevel=2)
    if sweep.sampler.name == "policy_gradient":
        _check_decisions(said, sweep)
    if sweep.pruner is not None:
        _check_pruner(said, sweep, sweep.pruner)


def _check_decisions(said: Recipe, sweep: Sweep) -> None:
    """A controller decides between few values."""
    if len(sweep.objectives) > 1:
        raise mistake(said, "sampler", "policy_gradient takes one objective; tpe and gp take several")
    for parameter in sweep.space.parameters:
        whole = isinstance(parameter, Choice) or (parameter.integer and not parameter.log)
        number = len(parameter.options) if isinstance(parameter, Choice) else int(parameter.high - parameter.low) + 1
        if not whole or number > MOST_VALUES:
            few = f"choices, or int ranges of up to {MOST_VALUES} values"
            problem = f"policy_gradient decides between values: allowed are {few}"
            raise mistake(said, join_path("space", parameter.path), problem)


def _check_pruner(said: Recipe, sweep: Sweep, pruner: Named) -> None:
    if len(sweep.objectives) > 1:
        raise mistake(said, "pruner", "a pruner judges by one objective, there are several")
    if sweep.objectives[0].metric in COSTS:
        raise mistake(
            said, "pruner", f"{sweep.objectives[0].metric} is known at a run's end, when nothing can be pruned"
        )
    options = pruner_options(pruner, sweep)
    least, most = options.get("min_resource"), options.get("max_resource")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        raise mistake(said, "pruner", f"min_resource {least} is above max_resource {most} (validations of a run)")
