"""How are all facts about this machine gathered, in seconds and whatever is broken?"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_cv.doctor.child import Answer, Child
from lightning_cv.doctor.facts import Facts, Torch, TorchDevice, Wandb
from lightning_cv.doctor.folders import read_folder
from lightning_cv.doctor.nvidia import read_driver
from lightning_cv.doctor.packages import read_software
from lightning_cv.doctor.system import read_cores, read_limits, read_memory, read_shared_memory, read_slurm
from lightning_cv.recipe.files import display_path
from lightning_cv.record.redact import REDACTED, is_secret_name, redact

# Starting CUDA on eight cards, or importing torch from a busy network file system, takes up to a minute.
ANSWER_WITHIN_S = 120.0
INFINIBAND = Path("/sys/class/infiniband")
_LOOKED_AT = ("CUDA_", "NCCL_", "OMP_", "SLURM_", "WANDB_", "HF_", "TRANSFORMERS_", "GLOO_")


def gather(runs_dir: Path, *, timeout_s: float = ANSWER_WITHIN_S) -> Facts:
    """Everything that the checks look at.

    Args:
        runs_dir: folder of all runs; it need not exist.
        timeout_s: how long torch and W&B have for their answers.
    """
    # Both work while the rest is looked at.
    children = [Child(f"lightning_cv.doctor.{module}") for module in ("ask_torch", "ask_wandb")]
    try:
        slurm, slurm_problem = read_slurm()
        temporary = Path(tempfile.gettempdir())
        facts: dict[str, Any] = {
            "software": read_software(),
            "driver": read_driver(),
            "cores": read_cores(),
            "memory": read_memory(),
            "shared_memory": read_shared_memory(),
            "limits": read_limits(),
            "runs": read_folder(runs_dir, shown=display_path(runs_dir)),
            "temporary": read_folder(temporary, shown=str(temporary)),
            "system": platform.system(),
            "infiniband": INFINIBAND.is_dir() and any(INFINIBAND.iterdir()),
            "environ": looked_at(os.environ),
        }
        torch, wandb = (child.answer(timeout_s) for child in children)
        return Facts(
            **facts, slurm=slurm, slurm_problem=slurm_problem, torch=torch_facts(torch), wandb=wandb_facts(wandb)
        )
    except BaseException:
        for child in children:
            child.end()
        raise


def torch_facts(answer: Answer) -> Torch:
    """What the child that asked torch found."""
    said = dict(answer.said)
    devices = tuple(
        TorchDevice(**{**device, "capability": tuple(device["capability"])}) for device in said.pop("devices", ())
    )
    pairs = tuple((first, second) for first, second in said.pop("no_peers", ()))
    at = answer.at if answer.problem else ""
    architectures = tuple(said.pop("architectures", ()))
    return Torch(
        problem=answer.problem, problem_at=at, devices=devices, no_peers=pairs, architectures=architectures, **said
    )


def wandb_facts(answer: Answer) -> Wandb:
    """What the child that asked W&B found."""
    problem = f"{answer.problem}, when asked for {answer.at}" if answer.problem else ""
    return Wandb(problem=str(redact(problem)), **answer.said)


def looked_at(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that checks look at, with `***` in the place of secrets."""
    return {
        name: REDACTED if is_secret_name(name) else str(redact(value))
        for name, value in sorted(environ.items())
        if name.startswith(_LOOKED_AT)
    }
