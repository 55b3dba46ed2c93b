"""What happens with a job once it is planned: is it printed, handed to SLURM, or run right here?"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lightning_cv.cli.submit_job import Asked, Planned, plan_recipe
from lightning_cv.cli.submit_sweep import is_sweep, plan_sweep
from lightning_cv.errors import DONE, UserError
from lightning_cv.launch.cluster.checks import (
    Note,
    batch_size,
    check_batch,
    check_folder,
    check_partition,
    check_time,
    check_wandb,
)
from lightning_cv.launch.cluster.earlier import find_earlier
from lightning_cv.launch.cluster.records import RECORD, SCRIPT, folder_of, write_record
from lightning_cv.launch.cluster.sbatch import script
from lightning_cv.launch.cluster.slurm import has_slurm, partitions, submit_script
from lightning_cv.launch.cluster.torchrun import node_lines
from lightning_cv.recipe.files import display_path
from lightning_cv.record.atomic import write_text_atomically

# The recipe is read on this machine, which need not have the devices.
_ANYWHERE = ("--trainer.devices=auto", "--trainer.num_nodes=1", "--trainer.accelerator=auto")
_READ_WITHIN_S = 300


def dry_run(asked: Asked) -> int:
    """Print the batch script, and on stderr what was checked."""
    planned = _plan(asked)
    text = script(planned.job, planned.resources, after=asked.after)
    _say(_checked(asked, planned))
    if not has_slurm():
        where = "run it right here" if planned.job.nodes == 1 else "print a line for each machine"
        print(f"SLURM     is not on this machine: without --dry-run submit would {where}", file=sys.stderr)
    sys.stdout.write(text)
    return DONE


def submit(asked: Asked) -> int:
    """Hand the job to SLURM; where there is none, run it here or say how to start it on several machines."""
    planned = _plan(asked)
    text = script(planned.job, planned.resources, after=asked.after)  # also without SLURM: refuses what no script holds
    _say(_checked(asked, planned))
    if has_slurm():
        return _to_slurm(asked, planned, text)
    if asked.after is not None:
        raise UserError(f"--after {asked.after}: there is no SLURM here (no sbatch on the PATH)")
    if planned.job.nodes == 1:
        return _right_here(asked, planned)
    return _for_each_machine(asked, planned)


def _plan(asked: Asked) -> Planned:
    recipes = asked.line.recipes
    return plan_sweep(asked) if recipes and is_sweep(recipes[0]) else plan_recipe(asked)


def _checked(asked: Asked, planned: Planned) -> list[Note]:
    """What was found out about a job that can be submitted.

    Raises:
        UserError: it cannot.
    """
    job, resources, recipe = planned.job, planned.resources, planned.recipe
    notes = [check_batch(recipe, job)]
    if planned.sweep is None:
        earlier = find_earlier(job.parent, batch_size=batch_size(recipe))
        notes += check_time(recipe, job, resources, earlier)
    notes += check_partition(resources, partitions() if has_slurm() else None)
    notes.append(check_folder(planned.runs_dir, is_shared=has_slurm() or job.nodes > 1))
    notes.append(check_wandb(recipe, os.environ))
    return [_recipe_note(asked, planned), *notes]


def _recipe_note(asked: Asked, planned: Planned) -> Note:
    """Read the recipe as a training would: every key, class and option.

    Raises:
        UserError: it is refused, in the words of `fit`.
    """
    if not asked.checks_recipe:
        return Note("recipe", "not checked (--no-check)")
    if planned.resources.container or planned.resources.prefix or planned.resources.python:
        return Note("recipe", "not checked: another Python than this one trains it")
    with tempfile.TemporaryDirectory(prefix="lightning-cv-submit-") as folder:
        words = _words_of_recipe(asked, planned, Path(folder))
        command = [sys.executable, "-P", "-m", "lightning_cv", "fit", *words, *_ANYWHERE, "--print_config"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_READ_WITHIN_S, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            return Note("recipe", f"could not be read within {_READ_WITHIN_S} s", is_warning=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "bug: "))]
        raise UserError(said[-1].partition(": ")[2] if said else f"the recipe is refused: {done.stderr[-300:]}")
    return Note("recipe", "is complete, and all that it names is there")


def _words_of_recipe(asked: Asked, planned: Planned, folder: Path) -> list[str]:
    """The user's own words, so that an error names their files; of a sweep the recipe that it varies."""
    line = asked.line
    packages = [word for package in line.allow_code for word in ("--allow-code", package)]
    if planned.sweep is None:
        recipes = [word for name in line.recipes for word in ("--config", name)]
        run = line.settings.get("--resume")
        found = recipes or ["--config", str(Path(run) / "recipe.yaml")] if run else recipes
        return [*found, *(f"--{path}={text}" for path, text in line.overrides), *packages]
    from lightning_cv.sweep.definition.yaml_text import as_yaml

    file = folder / f"{planned.job.name}.yaml"
    file.write_text(as_yaml(planned.recipe.values), encoding="utf-8")
    return ["--config", str(file), *packages]


def _to_slurm(asked: Asked, planned: Planned, text: str) -> int:
    job = planned.job
    _prepare(planned)
    folder = folder_of(planned.runs_dir, job.key)
    file = folder / SCRIPT
    try:
        write_text_atomically(file, text)
        number = submit_script(file, planned.environ)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _record(asked, planned, number)
    tasks = f"{number}, {job.tasks} tasks" if job.tasks > 1 else number
    runs = job.runs or [job.parent]
    print(f"job       {tasks}; cancel it with: lightning-cv jobs cancel {number}")
    print(f"run       {display_path(runs[0])}" + (f" to {runs[-1].name}" if len(runs) > 1 else ""))
    print(f"log       {display_path(job.log(0))}" + (f" to {job.log(job.tasks - 1).name}" if job.tasks > 1 else ""))
    print(f"look      lightning-cv jobs{_runs_dir_words(planned)}")
    return DONE


def _right_here(asked: Asked, planned: Planned) -> int:
    """Run the tasks one after the other, in the foreground; the workers of a search at once."""
    from lightning_cv.cli import fit, sweep

    job = planned.job
    print("SLURM     is not on this machine: running right here", file=sys.stderr)
    _prepare(planned)
    _record(asked, planned, "")
    if planned.sweep is not None:
        os.environ.update(planned.environ)
        words = job.command(0)[1:]
        words[words.index("--workers") + 1] = str(job.tasks)
        return sweep.run(words)
    for task in range(job.tasks):
        status = fit.run(job.command(task)[1:])
        if status != DONE:
            return status
    return DONE


def _for_each_machine(asked: Asked, planned: Planned) -> int:
    """Print what to run on each of several machines."""
    job = planned.job
    if job.kind != "fit":
        raise UserError("--seeds on several machines needs SLURM; give one --seed, and submit the others after it")
    lines = node_lines(job, planned.resources, first=asked.first_node)
    _prepare(planned)
    print(f"SLURM     is not on this machine: run these lines, one on each of {job.nodes} machines", file=sys.stderr)
    print("          all must see the same folder; the same lines go on with a run that was stopped", file=sys.stderr)
    for node, line in enumerate(lines):
        print(f"# machine {node}{' (the first)' if node == 0 else ''}\n{line}")
    return DONE


def _prepare(planned: Planned) -> None:
    """Write what the job reads, and make the folders that it writes to.

    Raises:
        UserError: one of them cannot be made, or a study of this name searches something else.
    """
    job = planned.job
    if planned.sweep is not None:
        from lightning_cv.sweep.engine.session import begin_study

        begin_study(planned.sweep, job.parent.parent)
    try:
        job.log(0).parent.mkdir(parents=True, exist_ok=True)
        if planned.text:
            write_text_atomically(planned.recipe_file, planned.text)
    except OSError as error:
        raise UserError(f"{display_path(job.log(0).parent)}: cannot be written ({error.strerror})") from error


def _record(asked: Asked, planned: Planned, number: str) -> None:
    words = ["lightning-cv", "submit", *asked.argv]
    write_record(planned.runs_dir, planned.job, number=number, argv=words, limit=planned.resources.time)
    assert (folder_of(planned.runs_dir, planned.job.key) / RECORD).is_file()


def _runs_dir_words(planned: Planned) -> str:
    shown = display_path(planned.runs_dir)
    return "" if shown == "runs" else f" --runs-dir {shlex.quote(shown)}"


def _say(notes: list[Note]) -> None:
    for note in notes:
        print(note, file=sys.stderr)
