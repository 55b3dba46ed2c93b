"""Which batch script trains a job on SLURM, and starts it again after a signal?"""

from __future__ import annotations

import itertools
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_cv.errors import PREEMPTED, UserError
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.keys import one_line
from lightning_cv.launch.cluster.profile import Resources

_KILLED = 128 + signal.SIGUSR1  # the status of a process that it ends
# The others end by themselves once one has; W&B may take two minutes for what it has not sent.
WAIT_S = 180
# In these a worker of a search, a single process, tells its trials that each is one of a job of many.
_OF_A_TASK = ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NPROCS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
_HIDDEN = (*_OF_A_TASK, "SLURM_STEP_ID", "SLURM_STEPID")


def script(job: Job, resources: Resources, *, after: str | None = None) -> str:
    """The text of the script.

    Args:
        job: what it runs.
        resources: what it asks for.
        after: number of a job that must have ended well before.

    Raises:
        UserError: a name or path that no script can hold.
    """
    directives = [f"#SBATCH --{name}={in_directive(value)}" for name, value in _directives(job, resources, after)]
    flags = [f"#SBATCH --{'no-requeue' if resources.no_requeue else 'requeue'}"]
    if after is not None:
        flags.append("#SBATCH --kill-on-invalid-dep=yes")
    head = ["#!/bin/bash", *directives, *flags, "", "# Written by lightning-cv submit; SLURM keeps its own copy."]
    # srun does not take the cores from sbatch.
    cores = [f"export SRUN_CPUS_PER_TASK={_cores(job, resources)}"] if resources.cpus else []
    parts = [head, list(resources.setup), cores, _training(job, resources), _ending(resources)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def in_directive(value: str | int) -> str:
    """A value as it stands behind `#SBATCH --option=`: sbatch has its own quotes, and reads no shell."""
    text = str(value)
    if text and all(char.isascii() and (char.isalnum() or char in "@%+=:,./-_") for char in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def program(resources: Resources) -> list[str]:
    """The words that start Python with `lightning-cv`."""
    inside = resources.container or resources.prefix
    python = resources.python or ("python3" if inside else sys.executable)
    return [*resources.prefix, python, "-P", "-m", "lightning_cv"]


def _directives(job: Job, resources: Resources, after: str | None) -> list[tuple[str, str | int]]:
    gpus = job.devices if resources.gpu and not resources.gres else None
    said: list[tuple[str, str | int | None]] = [
        ("job-name", job.name),
        ("output", _pattern(job)),
        ("open-mode", "append"),
        ("chdir", _path(job.folder)),
        ("array", f"0-{job.tasks - 1}" if job.is_array else None),
        ("nodes", job.nodes),
        ("ntasks-per-node", job.processes),
        ("cpus-per-task", _cores(job, resources) if resources.cpus else None),
        ("gpus-per-node", gpus),
        ("gres", resources.gres),
        ("mem", resources.memory),
        ("time", resources.time),
        ("partition", resources.partition),
        ("account", resources.account),
        ("qos", resources.qos),
        ("constraint", resources.constraint),
        ("dependency", f"afterok:{after}" if after else None),
        ("signal", f"USR1@{resources.lead}"),
    ]
    return [(name, _checked(name, value)) for name, value in said if value is not None]


def _cores(job: Job, resources: Resources) -> int:
    return (resources.cpus or 1) * job.devices // job.processes


def _pattern(job: Job) -> str:
    """The log as SLURM's pattern: a task's number for `%a`, `%%` for a percent sign."""
    _checked("output", str(job.log(0)))
    path = job.log("\0")
    return _path(path).replace("%", "%%").replace("\0", "%a")


def _path(path: Path) -> str:
    text = str(path)
    if "\\" in text:
        raise UserError(f"{text}: SLURM cannot write to a path with a backslash; give another --runs-dir or folder")
    return text


def _checked(name: str, value: str | int) -> str | int:
    try:
        one_line(value)
    except ValueError as error:
        raise UserError(f"{name} {str(value)!r:.80}: allowed: {error}") from error
    return value


def _training(job: Job, resources: Resources) -> list[str]:
    """The command as a list of quoted words, in lines that can be read; nothing in it is interpreted."""
    srun = ["srun", "--kill-on-bad-exit=0", f"--wait={WAIT_S}"]
    if resources.container:
        srun.append(f"--container-image={resources.container}")
    if resources.container_mounts:
        srun.append(f"--container-mounts={resources.container_mounts}")
    lines = [srun, program(resources), *_by_option(job.words)]
    if job.kind == "sweep":
        lines.insert(1, ["env", *(word for name in _HIDDEN for word in ("-u", name))])
    for word in itertools.chain.from_iterable(lines):
        _checked("the command", word or "-")
    quoted = ["  " + shlex.join(line) for line in lines]
    if job.kind == "fit":
        quoted.append("  " + shlex.join(["--run-dir", str(job.runs[0])]))
    before = []
    if job.kind == "seeds":
        before = [f"seed=$(({job.first_seed} + SLURM_ARRAY_TASK_ID))"]
        folder = shlex.quote(str(job.parent / job.seed_folder("")))
        quoted += [f'  --run-dir {folder}"$seed"', '  --seed "$seed"']
    return [*before, "training=(", *quoted, ")"]


def _by_option(words: Sequence[str]) -> list[list[str]]:
    """Words in lines, each option with what follows it."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(word)
    return [line for line in lines if line]


def _ending(resources: Resources) -> list[str]:
    """Run the command, and go on later if a signal stopped it."""
    start = [
        "# SLURM signals the processes that train. Should it signal this script too, it outlives them.",
        "trap : USR1",
        "trap ended=1 TERM",
        "status=0",
        '"${training[@]}" || status=$?',
    ]
    if resources.no_requeue:
        return [*start, 'exit "$status"']
    return [
        *start,
        "",
        f"# {PREEMPTED}: stopped by a signal, all is saved. {_KILLED}: the signal came before Python listened.",
        f"if [[ $status == {PREEMPTED} || $status == {_KILLED} ]]; then",
        '  job=${SLURM_ARRAY_JOB_ID:+"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"}',
        '  job=${job:-"$SLURM_JOB_ID"}',
        '  state=$(squeue --noheader --jobs="$job" --format=%T 2> /dev/null)',
        "  restarts=${SLURM_RESTART_COUNT:-0}",
        "  if [[ ${ended:-} || ${state:-RUNNING} != RUNNING ]]; then",
        '    echo "requeue   no: SLURM ends this job (${state:-cancelled})"',
        f"  elif ((restarts >= {resources.max_restarts})); then",
        '    echo "requeue   no: it was started again $restarts times already (--max-restarts)"',
        '  elif scontrol requeue "$job"; then',
        f'    echo "requeue   restart $((restarts + 1)) of {resources.max_restarts} at most"',
        "  fi",
        "fi",
        'exit "$status"',
    ]
