"""Which job trains the recipe that a line of `lightning-cv submit` names?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_cv.cli.options import Line
from lightning_cv.cli.program import read_request
from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.job import Job, new_key
from lightning_cv.launch.cluster.keys import one_line
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.launch.cluster.records import folder_of
from lightning_cv.recipe.compose import COMMAND_LINE, Composed

if TYPE_CHECKING:
    from lightning_cv.sweep.definition.spec import Sweep


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says.

    Args:
        argv: its words.
        line: the part of it that `fit` would understand.
        resources: what the job is to get.
        seeds: how many; None: one run.
        workers: of a search; None: not said.
        trials: of a search in all; None: the sweep's.
        storage: URL of a search's database, in place of the sweep's.
        after: number of a job that must have ended well before.
        first_node: where others reach the first machine, without a cluster.
        checks_recipe: whether to read the recipe as a training would.
    """

    argv: tuple[str, ...]
    line: Line
    resources: Resources
    seeds: int | None = None
    workers: int | None = None
    trials: int | None = None
    storage: str | None = None
    after: str | None = None
    first_node: str | None = None
    checks_recipe: bool = True


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job, and what it needs to have written down before it starts.

    Args:
        job: what runs.
        resources: what it asks for, with what the recipe adds.
        runs_dir: absolute folder of all runs.
        recipe: with the job's devices; of a search the one that it varies.
        text: the recipe as the job reads it; empty: of a search.
        sweep: the search; None: a recipe is trained.
        environ: variables for the job that may hold a secret.
    """

    job: Job
    resources: Resources
    runs_dir: Path
    recipe: Composed
    text: str = ""
    sweep: Sweep | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def recipe_file(self) -> Path:
        """The recipe of this submission, which no later edit of the original changes."""
        return _recipe_file(self.runs_dir, self.job.key, self.job.name)


def plan_recipe(asked: Asked) -> Planned:
    """The job that trains a recipe.

    Raises:
        UserError: a recipe that cannot be found or read, or options that do not go together.
    """
    for option, value in (("--workers", asked.workers), ("--trials", asked.trials), ("--storage", asked.storage)):
        if value is not None:
            raise UserError(f"{option} is for a sweep; {asked.line.recipes[0]} is a recipe")
    request = read_request("fit", asked.line)
    if asked.seeds is not None and request.run_dir is not None:
        raise UserError("--seeds makes a run for each seed, --run-dir names one; leave one of them out")
    nodes = asked.resources.nodes or _number(request.composed, "trainer.num_nodes")
    devices = asked.resources.devices or num_devices(request.composed.values)
    recipe = request.composed
    for path, number in (("trainer.devices", devices), ("trainer.num_nodes", nodes)):
        recipe = recipe.set(path, number, recipe.origin(path) or COMMAND_LINE)
    key, runs_dir = new_key(), request.runs_dir.absolute()
    words = ["fit", str(_recipe_file(runs_dir, key, request.name)), "--name", request.name]
    for package in request.allow_code:
        words += ["--allow-code", package]
    for option in ("--batch", "--batch-memory"):
        if option in asked.line.settings:
            words += [option, asked.line.settings[option]]
    if request.checkpoint is not None:
        words += ["--ckpt", str(request.checkpoint.absolute())]
    words += ["--test"] if request.test_after_fit else []
    seed = recipe.values.get("seed_everything", 0)
    job = Job(
        key=key,
        name=in_one_line(request.name, "--name"),
        kind="fit" if asked.seeds is None else "seeds",
        words=tuple(words),
        parent=runs_dir / request.name,
        folder=Path.cwd(),
        nodes=nodes,
        devices=devices,
        tasks=asked.seeds or 1,
        first_seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else 0,
        run_dir=request.run_dir.absolute() if request.run_dir else None,
    )
    text = _as_file(recipe, f"{request.name} as it was submitted; the job {key} trains this file")
    return Planned(job=job, resources=with_gpu(asked, recipe), runs_dir=runs_dir, recipe=recipe, text=text)


def num_devices(recipe: Mapping[str, object]) -> int:
    """On how many devices of one machine a recipe trains; 1 where it leaves that to what there is."""
    from lightning_cv.sweep.engine.command import num_devices as counted

    return counted(recipe)


def _recipe_file(runs_dir: Path, key: str, name: str) -> Path:
    return folder_of(runs_dir, key) / f"{name}.yaml"


def _as_file(recipe: Composed, title: str) -> str:
    from lightning_cv.sweep.definition.yaml_text import as_yaml

    return as_yaml(recipe.values, [title])


def with_gpu(asked: Asked, recipe: Composed) -> Resources:
    """What is asked for; a recipe that names GPUs needs them."""
    trainer = recipe.values.get("trainer")
    accelerator = trainer.get("accelerator") if isinstance(trainer, Mapping) else None
    return replace(asked.resources, gpu=asked.resources.gpu or accelerator in ("gpu", "cuda"))


def _number(recipe: Composed, path: str) -> int:
    """A whole number that the recipe states, else 1."""
    try:
        value = recipe.get(path)
    except UserError:
        return 1
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def in_one_line(name: str, option: str) -> str:
    """A name that a script can hold.

    Raises:
        UserError: it cannot be one.
    """
    try:
        return one_line(name)
    except ValueError as error:
        raise UserError(f"{option} {name!r:.80}: allowed: {error}") from error
