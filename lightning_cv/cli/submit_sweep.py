"""Which job searches the sweep that a line of `lightning-cv submit` names?"""

from __future__ import annotations

from pathlib import Path

from lightning_cv.cli.submit_job import Asked, Planned, in_one_line, num_devices, with_gpu
from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.job import Job, new_key
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import existing, find, find_sweep, shipped, shipped_sweeps
from lightning_cv.recipe.suggest import did_you_mean


def plan_sweep(asked: Asked) -> Planned:
    """The job whose tasks are the workers of a search.

    Raises:
        UserError: a sweep that cannot be found or read, or options that do not go together.
    """
    from lightning_cv.sweep.definition.file import read_sweep
    from lightning_cv.sweep.engine.session import STORAGE_VARIABLE, is_study, sweep_of_study

    _check_line_of_sweep(asked)
    word, settings = asked.line.recipes[0], asked.line.settings
    given = Path(word)
    runs_dir = Path(settings.get("--runs-dir") or "runs")
    if is_study(given):
        sweep = sweep_of_study(word, given.parent, storage=asked.storage, trials=asked.trials)
        runs_dir = given.resolve().parent
    else:
        name = settings.get("--name")
        sweep = read_sweep(find_sweep(word), name=name, trials=asked.trials, storage=asked.storage)
    workers, devices = asked.workers or 1, num_devices(sweep.composed.values)
    if asked.resources.nodes not in (None, 1):
        raise UserError(f"--nodes {asked.resources.nodes}: a trial of a search trains on one machine")
    if asked.resources.devices not in (None, devices):
        raise UserError(
            f"--devices {asked.resources.devices}: trials train on the recipe's trainer.devices, {devices}; give the "
            "sweep fixed: {trainer.devices: ...}"
        )
    if workers > 1 and sweep.storage is not None and sweep.storage.startswith("sqlite"):
        raise UserError(
            f"--workers {workers}: SQLite takes one worker only; leave out storage (a journal) or use PostgreSQL"
        )
    parent = runs_dir.absolute() / in_one_line(sweep.name, "--name")
    words = ["sweep", str(parent), "--workers", "1"]
    for package in asked.line.allow_code:
        words += ["--allow-code", package]
    job = Job(
        key=new_key(),
        name=sweep.name,
        kind="sweep",
        words=tuple(words),
        parent=parent,
        folder=Path.cwd(),
        devices=devices,
        tasks=workers,
    )
    return Planned(
        job=job,
        resources=with_gpu(asked, sweep.composed),
        runs_dir=runs_dir.absolute(),
        recipe=sweep.composed,
        sweep=sweep,
        environ={STORAGE_VARIABLE: sweep.storage} if sweep.storage is not None else {},
    )


def _check_line_of_sweep(asked: Asked) -> None:
    line = asked.line
    if asked.seeds is not None:
        raise UserError("--seeds is for a recipe; a search has --workers, and sweep confirm trains its best over seeds")
    if line.overrides:
        raise UserError(f"--{line.overrides[0][0]}: overrides are for a recipe; what all trials share is `fixed`")
    if len(line.recipes) > 1:
        raise UserError(f"--config {line.recipes[1]}: is for a recipe; a sweep names its own")
    for option in line.settings:
        if option not in ("--name", "--runs-dir"):
            raise UserError(f"{option} is for a recipe, {line.recipes[0]} is a sweep")


def is_sweep(word: str) -> bool:
    """Whether a word means a sweep; one that is unknown is named.

    Raises:
        UserError: neither a recipe nor a sweep.
    """
    file = existing(word, "recipe")
    if file is not None:
        return {"space", "objective"} <= read_recipe(file).values.keys()
    if existing(word, "sweep") is not None:
        return True
    try:
        find(word)
    except UserError as problem:
        names = [recipe.name for recipe in shipped()] + [sweep.name for sweep in shipped_sweeps()]
        if word.removesuffix(".yaml").removeprefix("sweeps/") in {sweep.name for sweep in shipped_sweeps()}:
            return True
        if "neither" not in str(problem):
            raise
        near = did_you_mean(word, names) or "; see lightning-cv recipes and lightning-cv sweep list"
        raise UserError(f"{word}: neither a file nor a shipped recipe or sweep{near}") from problem
    return False
