"""Does the recipe ask for more processes than the machine has room for?"""

import os
from collections.abc import Mapping
from typing import Any

import torch

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.paths import walk

# More loader processes than this per core only wait for one another.
WORKERS_PER_CORE = 8


def check_devices(composed: Composed) -> None:
    """Refuse devices that do not exist and loader processes without measure, before any process is started.

    Raises:
        UserError: names the key, what was given, and what the machine has.
    """
    trainer = composed.values.get("trainer")
    trainer = trainer if isinstance(trainer, Mapping) else {}
    if "devices" in trainer:
        count, kind = _available(trainer.get("accelerator"))
        problem = _problem(trainer["devices"], count) if kind else None
        if problem:
            raise UserError(f"{composed.locate('trainer.devices')} {problem}, but this machine has {count} {kind}")
        if (
            trainer.get("sync_batchnorm") is True
            and kind.startswith("CPU")
            and trainer["devices"] not in (1, "1", "auto")
        ):
            raise UserError(
                f"{composed.locate('trainer.sync_batchnorm')} is true, but torch synchronizes batch norm on GPUs only, "
                f"and this training has {kind}"
            )
    nodes = trainer.get("num_nodes", 1)
    if _is_count(nodes) and nodes < 1:
        raise UserError(f"{composed.locate('trainer.num_nodes')} is {nodes}; allowed: 1 or more")
    cores = os.cpu_count() or 1
    limit = WORKERS_PER_CORE * cores
    for path, value in walk(composed.values):
        if path.endswith(".num_workers") and _is_count(value) and value > limit:
            raise UserError(
                f"{composed.locate(path)} is {value}; allowed: 0 to {limit} on this machine ({cores} cores)"
            )


def _available(accelerator: Any) -> tuple[int, str]:
    """Number and name of the devices of an accelerator; no name for one that only Lightning knows."""
    gpus = torch.cuda.device_count()
    name = str(accelerator or "auto").lower()
    if name in ("gpu", "cuda", "auto") and gpus:
        return gpus, "GPUs" if gpus > 1 else "GPU"
    if name in ("gpu", "auto", "mps") and torch.backends.mps.is_available():
        return 1, "MPS device"
    if name in ("auto", "cpu"):
        cores = os.cpu_count() or 1
        return cores, "CPU cores" if cores > 1 else "CPU core"
    return 0, "GPUs" if name in ("gpu", "cuda", "mps") else ""


def _problem(devices: Any, count: int) -> str | None:
    """Why `devices` cannot be had; None if it can, or if its type is not a device count at all."""
    if isinstance(devices, str):
        text = devices.strip()
        if "," in text:
            return _problem([part.strip() for part in text.split(",") if part.strip()], count)
        devices = int(text) if text.lstrip("-").isdecimal() and text.isascii() else devices
    if isinstance(devices, list):
        indices = [int(item) for item in devices if str(item).isdecimal() and str(item).isascii()]
        beyond = [index for index in indices if index >= count]
        return f"names device {max(beyond)}, counted from 0" if beyond else None
    if not _is_count(devices):
        return None
    if devices > count:
        return f"is {devices}"
    return f"is {devices}; give 1 or more, or -1 for all" if devices == 0 or devices < -1 else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
