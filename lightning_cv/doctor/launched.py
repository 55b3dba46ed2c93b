"""Which place did torchrun or srun give this process? Loads Lightning for srun."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lightning_cv.doctor.place import TORCHRUN, Place
from lightning_cv.errors import UserError


def launched_place(environ: Mapping[str, str] = os.environ) -> Place:
    """The place that torchrun or srun gave this process.

    Raises:
        UserError: neither started it, or what they say is not complete.
    """
    if all(name in environ for name in TORCHRUN):
        return Place(
            rank=int(environ["RANK"]),
            num_ranks=int(environ["WORLD_SIZE"]),
            local_rank=int(environ["LOCAL_RANK"]),
            address=environ["MASTER_ADDR"],
            port=int(environ["MASTER_PORT"]),
            launcher_listens=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            attempt=environ.get("TORCHELASTIC_RESTART_COUNT", "0"),
        )
    if "SLURM_STEP_ID" in environ:
        return _slurm_place()
    raise UserError(
        "--nodes asks the processes that a launcher started: srun lightning-cv doctor --nodes, or "
        "torchrun --nproc-per-node N -m lightning_cv doctor --nodes; on this machine alone: --processes N"
    )


def _slurm_place() -> Place:
    """As Lightning sees it, so that what works here works for a training."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    try:
        slurm = SLURMEnvironment(auto_requeue=False)
        return Place(
            rank=slurm.global_rank(),
            num_ranks=slurm.world_size(),
            local_rank=slurm.local_rank(),
            address=slurm.main_address,
            port=slurm.main_port,
        )
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"srun: {' '.join(str(error).split())}") from error
