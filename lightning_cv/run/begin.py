"""Is a run new, or does it go on, and from where? One process decides, for all that train together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.course import course_sha256
from lightning_cv.run.folder import RunFolder, create_run_folder, holds_run, resume_run_folder
from lightning_cv.run.lock import RunLock
from lightning_cv.run.processes.exchange import PREFIX, Exchange
from lightning_cv.run.processes.launched import launch_name, told_rank
from lightning_cv.run.processes.together import stalled_after_s
from lightning_cv.run.provenance import add_resume, write_provenance
from lightning_cv.run.resume import Resume, find_resume

_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID")  # what they set, whoever starts a process of each device


@dataclass(frozen=True)
class Beginning:
    """Where a run begins, or goes on.

    Args:
        folder: of the run.
        resume: where it goes on; None: it is new.
        lock: what keeps others from training it; held by the process that made the folder or went on with it.
    """

    folder: RunFolder
    resume: Resume | None
    lock: RunLock | None


def begin(request: RunRequest, resolved: str) -> Beginning:
    """Make the folder of a new run, or open that of one that goes on.

    Where srun or torchrun started all processes, the first one does so and the others are told. Where Lightning
    starts the others, they inherit what the first one decided.

    Args:
        request: the run.
        resolved: its complete recipe, as YAML.

    Raises:
        UserError: the folder cannot be made, holds another run or is in use, or the processes do not find one another.
    """
    started = _started_from_outside()
    if started is None:
        return _decide(request, resolved)
    rank, number = started
    place = request.run_dir or request.runs_dir / request.name
    exchange = Exchange(place / f"{PREFIX}{launch_name()}", rank, number, bound_s=stalled_after_s())
    recipe_sha256 = course_sha256(yaml.safe_load(resolved))
    if rank > 0:
        return _told(exchange.ask(recipe_sha256))
    others = exchange.hear()
    try:
        differing = [rank for rank, text in others.items() if text != recipe_sha256]
        if differing:
            raise UserError(f"process {differing[0]} of {number} was started with another recipe than the first one")
        beginning = _decide(request, resolved)
        if request.run_dir is not None:
            exchange.remove_others()
    except UserError as error:
        exchange.tell({"error": str(error), "exit_code": error.exit_code})
        raise
    try:
        exchange.tell(_plain(beginning))
    except BaseException:
        if beginning.lock is not None:
            beginning.lock.release()
        raise
    return beginning


def _started_from_outside() -> tuple[int, int] | None:
    """Rank and number of the processes that srun or torchrun started; None: one process, or Lightning starts them."""
    return told_rank() if any(name in os.environ for name in _LAUNCHERS) else None


def _decide(request: RunRequest, resolved: str) -> Beginning:
    recipe = yaml.safe_load(resolved)
    goes_on = request.run_dir is not None and holds_run(request.run_dir)
    if goes_on:
        assert request.run_dir is not None
        folder = resume_run_folder(request.run_dir)
    else:
        folder = create_run_folder(request.runs_dir, request.name, request.run_dir)
    lock = RunLock(folder.path) if folder.is_ours else None
    resume = None
    try:
        if goes_on:
            resume = find_resume(folder, recipe)
        if folder.is_ours and resume is not None:
            add_resume(folder, resolved=resolved, step=resume.step)
        elif folder.is_ours:
            folder.recipe.write_text(resolved, encoding="utf-8")
            write_provenance(folder, seed=recipe.get("seed_everything"))
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return Beginning(folder, resume, lock)


def _plain(beginning: Beginning) -> dict[str, Any]:
    folder, resume = beginning.folder, beginning.resume
    plain: dict[str, Any] = {"folder": str(folder.path.resolve()), "run_id": folder.run_id, "name": folder.name}
    if resume is not None:
        checkpoint = str(resume.checkpoint.resolve()) if resume.checkpoint else None
        plain["resume"] = {"checkpoint": checkpoint, "step": resume.step}
    return plain


def _told(answer: dict[str, Any]) -> Beginning:
    """What the first process decided, in another one.

    Raises:
        UserError: what the first one raised.
    """
    if "error" in answer:
        error = UserError(answer["error"])
        error.exit_code = answer["exit_code"]
        raise error
    folder = RunFolder(Path(answer["folder"]), run_id=answer["run_id"], name=answer["name"])
    resume = None
    if "resume" in answer:
        checkpoint = answer["resume"]["checkpoint"]
        resume = Resume(folder, Path(checkpoint) if checkpoint else None, answer["resume"]["step"])
    return Beginning(folder, resume, lock=None)
