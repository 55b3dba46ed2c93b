"""How is one training started on several machines where no cluster does it?"""

from __future__ import annotations

import re
import shlex
import socket

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.launch.cluster.sbatch import program

PORT = 29_400
_PLACE = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.%\w]+\])(:(?P<port>[0-9]{1,5}))?")


def node_lines(job: Job, resources: Resources, *, first: str | None) -> list[str]:
    """The shell line that starts the training on each machine, the first one's first; to be run at about the same time.

    The same lines, run again, go on with the run.

    Args:
        job: a single run.
        resources: set-up lines, prefix and Python.
        first: `HOST` or `HOST:PORT` at which the others reach the first machine; None: this one's name.

    Raises:
        UserError: `first` is none.
    """
    host, port = _place(first or socket.getfqdn())
    *python, _, _, package = program(resources)
    # Unlike -P it holds in the processes that torchrun starts too: nothing in the working folder is imported by chance.
    launcher = ["env", "PYTHONSAFEPATH=1", *python, "-m", "torch.distributed.run", f"--nnodes={job.nodes}"]
    lines = []
    for node in range(job.nodes):
        words = [*launcher, f"--nproc-per-node={job.devices}", f"--node-rank={node}"]
        words += [f"--rdzv-endpoint={host}:{port}", "-m", package, *job.command(0)]
        lines.append(" && ".join([*resources.setup, f"cd {shlex.quote(str(job.folder))}", shlex.join(words)]))
    return lines


def _place(text: str) -> tuple[str, int]:
    found = _PLACE.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise UserError(f"--first-node {text!r:.80}: allowed: HOST or HOST:PORT of the first machine")
    return found["host"], port
