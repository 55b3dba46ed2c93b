"""Where does a run come from, and on what was it trained? Written so that it can be repeated, or doubted."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lightning_cv import __version__
from lightning_cv.contracts import is_trainable_task
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.record.redact import redact_command
from lightning_cv.run.folder import RunFolder

_RECORDED = ("torch", "torchvision", "lightning", "torchmetrics", "timm", "jsonargparse", "wandb", "numpy")


def write_provenance(folder: RunFolder, *, seed: int | bool | None) -> None:
    """Write what is needed to repeat the run or to doubt it."""
    record: dict[str, Any] = {
        "command": _command(),
        "started": _now(),
        "seed": seed,
        "git": _git_state(),
        "versions": _versions(),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "devices": _devices()},
    }
    _write(folder, record)


def add_training(folder: RunFolder, trainer: pl.Trainer, task: pl.LightningModule) -> None:
    """Add the size of what is trained, and on what: key `training`."""
    record = _read(folder)
    parameters = list(task.parameters())
    record["training"] = {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "devices": trainer.world_size,
        "accelerator": trainer.strategy.root_device.type,
        "precision": str(trainer.precision),
    }
    if is_trainable_task(task):
        record["training"] |= {"monitor": task.monitor, "mode": task.mode}
    _write(folder, record)


def add_resume(folder: RunFolder, *, resolved: str, step: int) -> None:
    """Note that the run goes on, and keep its recipe: the new one, and the one before if it is another."""
    record = _read(folder)
    record.setdefault("resumed", []).append(
        {"command": _command(), "started": _now(), "step": step, "git": _git_state(), "versions": _versions()}
    )
    _write(folder, record)
    before = folder.recipe.read_text(encoding="utf-8")
    if before != resolved:
        write_text_atomically(folder.path / f"recipe.before-{len(record['resumed'])}.yaml", before)
        write_text_atomically(folder.recipe, resolved)


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(folder.provenance.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


def _write(folder: RunFolder, record: dict[str, Any]) -> None:
    write_text_atomically(folder.provenance, json.dumps(record, indent=2) + "\n")


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *redact_command(sys.argv[1:])])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _RECORDED}
    return {"lightning_cv": __version__, "python": platform.python_version(), **libraries}


def _devices() -> list[str]:
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _git_state() -> dict[str, Any] | None:
    """Revision of the working folder, and whether it has uncommitted changes; None outside a checkout."""
    try:
        revision = _git("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603, S607
    return done.stdout.strip()
