"""Who started this process, which of those that train together is it, and how does the first one start the others?"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

LAUNCH_VARIABLE = "LIGHTNING_CV_LAUNCH"  # the same in all processes that Lightning starts, another for each launch
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
_OTHERS = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")


class WatchedLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher without its observer, which kills this process as soon as another one has ended badly.

    Args:
        launcher: the one to replace.
        first_rank: of this process; its children follow.
        started: gets the children by rank before training begins.
        failed: what to raise for what the training raised, before callbacks and loggers get it.
    """

    def __init__(
        self,
        launcher: _SubprocessScriptLauncher,
        first_rank: int,
        *,
        started: Callable[[Mapping[int, subprocess.Popen[bytes]]], None],
        failed: Callable[[BaseException], BaseException],
    ) -> None:
        super().__init__(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
        self._first_rank = first_rank
        self._started = started
        self._failed = failed

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other processes if they are not there, and train."""

        def guarded(*args: Any, **kwargs: Any) -> Any:
            children = list(self.procs)
            self.procs.clear()  # the observer's list: it ends when it finds nobody in it
            self.procs = children
            self._started(dict(enumerate(children, start=self._first_rank + 1)))
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                told = self._failed(error)
                if told is error:
                    raise
                raise told from error

        return super().launch(guarded, *args, trainer=trainer, **kwargs)


def told_rank() -> tuple[int, int] | None:
    """The rank and the number of processes, where a launcher tells both: torchrun, srun, or Lightning's own."""
    told = os.environ.get
    if told("TORCHELASTIC_RUN_ID"):
        names = "RANK", "WORLD_SIZE"
    elif told("SLURM_STEP_ID") and told("SLURM_NTASKS"):
        names = "SLURM_PROCID", "SLURM_NTASKS"
    elif told("LOCAL_RANK", "0") != "0" and told("NODE_RANK", "0") == "0":
        names = "LOCAL_RANK", "WORLD_SIZE"
    else:
        return None
    rank, number = (told(name, "") for name in names)
    return (int(rank), int(number)) if rank.isdecimal() and number.isdecimal() and int(number) > 1 else None


def launch_name() -> str:
    """A name for this launch that all of its processes know, and no other launch has."""
    told = os.environ.get(LAUNCH_VARIABLE)
    if told:
        return told
    values = [os.environ.get(name, "") for name in (_SLURM if "SLURM_STEP_ID" in os.environ else _OTHERS)]
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("GROUP_WORLD_SIZE") == "1":
        values.append(str(os.getppid()))  # torchrun on one machine
    return hashlib.sha256("\0".join(values).encode()).hexdigest()[:16]
