"""How is SLURM asked, without a shell and without what another job has left in the environment?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.limits import read_limit

SEPARATOR = "\x1f"  # in what is printed; no name and no path has it
_ANSWER_WITHIN_S = 60.0
# Of SLURM's variables those that say where SLURM is; the others tell of the job in which this process runs.
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT", "SLURM_DEBUG")
_DIRECTIVE = re.compile(r"^#SBATCH --([a-z-]+)", re.MULTILINE)
_NUMBER = re.compile(r"[0-9]+")


def has_slurm() -> bool:
    """Whether jobs can be handed to a SLURM from here."""
    return shutil.which("sbatch") is not None


def submit_script(file: Path, environ: Mapping[str, str]) -> str:
    """Hand a batch script to SLURM; the job's number.

    Args:
        file: the script.
        environ: variables that the job gets, beyond those of this process.

    Raises:
        UserError: SLURM refuses it, in its own words.
    """
    said = _DIRECTIVE.findall(file.read_text(encoding="utf-8"))
    variables = {**_outside_of_jobs(os.environ), **environ}
    for name in said:  # else sbatch's variables would win over what the script says
        variables.pop(f"SBATCH_{name.replace('-', '_').upper()}", None)
    number = ask(["sbatch", "--parsable", str(file)], environ=variables).strip().partition(";")[0]
    if not _NUMBER.fullmatch(number):
        raise UserError(f"sbatch: answered {number!r:.80} instead of a job's number")
    return number


def cancel(jobs: Sequence[str]) -> None:
    """End jobs.

    Raises:
        UserError: SLURM refuses.
    """
    ask(["scancel", *jobs])


def partitions() -> dict[str, int | None] | None:
    """The time limit of each partition in seconds, None: without; None instead of all: SLURM cannot be asked."""
    if shutil.which("sinfo") is None:
        return None
    try:
        lines = ask(["sinfo", "--noheader", f"--format=%R{SEPARATOR}%l"]).splitlines()
    except UserError:
        return None
    limits: dict[str, int | None] = {}
    for line in lines:
        name, _, limit = line.rstrip().partition(SEPARATOR)
        try:
            limits[name] = read_limit(limit)
        except ValueError:
            limits[name] = None  # "n/a"
    return limits


def ask(words: Sequence[str], *, environ: Mapping[str, str] | None = None) -> str:
    """What a program of SLURM prints.

    Raises:
        UserError: it is not there, does not answer, or fails; its own words in one line.
    """
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell
            list(words),
            capture_output=True,
            timeout=_ANSWER_WITHIN_S,
            check=False,
            env=dict(environ) if environ is not None else None,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise UserError(f"{words[0]}: not found; SLURM's programs are not on the PATH") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{words[0]}: gave no answer ({error!s:.200})") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise UserError(f"{words[0]}: {said[:500] or f'ended with status {done.returncode}'}")
    return done.stdout.decode(errors="replace")


def _outside_of_jobs(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the numbers of a job that this process is part of: they contradict the new one's."""
    if "SLURM_JOB_ID" not in environ:
        return dict(environ)
    foreign = ("SLURM_", "SRUN_", "PMI_", "PMIX_", "SLURMD_")
    return {name: value for name, value in environ.items() if name in _KEPT or not name.startswith(foreign)}
