"""Does a training with so many samples at once fit in memory? Asked by training for two steps, in a process apart."""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.plugins.io import CheckpointIO

from lightning_cv.callbacks.host_copy import HostCopy
from lightning_cv.errors import BUG, NonFiniteLossError, UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.imports import ImportPolicy, allowed_roots
from lightning_cv.run.batch.memory import OF_A_GPU, is_out_of_memory
from lightning_cv.run.build import build, check_recipe
from lightning_cv.run.cli import RecipeCLI

BATCH = "data.init_args.batch_size"
ACCUMULATED = "trainer.accumulate_grad_batches"

# With the validation at its end, on which other callbacks rely; nothing is shown, tracked or timed.
_ONE_SHORT_EPOCH: dict[str, Any] = {
    "max_epochs": 1,
    "max_steps": -1,
    "max_time": None,
    "min_epochs": None,
    "min_steps": None,
    "check_val_every_n_epoch": 1,
    "val_check_interval": 1.0,
    "num_sanity_val_steps": 0,
    "logger": False,
    "profiler": None,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@dataclass(frozen=True)
class Candidate:
    """A way to make an optimizer step of so many samples.

    Args:
        batch: samples at once, over all devices.
        accumulated: how many such batches a step has.
    """

    batch: int
    accumulated: int

    def applied_to(self, composed: Composed, *, accumulated: int | None = None) -> Composed:
        """The recipe with these numbers."""
        origin = "--batch auto"
        composed = composed.set(BATCH, self.batch, origin)
        return composed.set(ACCUMULATED, self.accumulated if accumulated is None else accumulated, origin)


@dataclass(frozen=True)
class Verdict:
    """What one process found.

    Args:
        outcome: whether it fits, memory ran out, or something else is wrong.
        peak: bytes of the device's memory that were reserved at most; 0: not known.
        limit: bytes that it might use of the device; 0: the limit is the machine's.
        text: of what is wrong: one line, or of a bug its traceback.
        exit_code: of what is wrong.
    """

    outcome: Literal["fits", "memory", "wrong"]
    peak: int = 0
    limit: int = 0
    text: str = ""
    exit_code: int = 0

    def write(self, path: Path) -> None:
        """Leave it for the process that asked."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Verdict:
        """What a process left.

        Raises:
            OSError: there is nothing.
            ValueError: it is torn.
        """
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def probe(
    composed: Composed, candidate: Candidate, *, allow_code: tuple[str, ...], memory: int | None, folder: Path
) -> Verdict:
    """Train for two optimizer steps; never raises.

    All that training holds is there: optimizer states, averaged weights, accumulated gradients, the copy of a
    snapshot; nothing is tracked and no snapshot written.

    Args:
        composed: the recipe.
        candidate: what is tried.
        allow_code: packages that the recipe may name.
        memory: bytes to use of a GPU; None: nearly all.
        folder: what callbacks write goes here.
    """
    watch = _Watch(memory)
    try:
        # Two are as many as ever are in memory: the sum of the gradients, and those of the batch at work.
        composed = candidate.applied_to(composed, accumulated=min(candidate.accumulated, 2))
        _train(composed, allow_code, watch=watch, folder=folder)
    except NonFiniteLossError:
        pass  # a matter of the rate: memory was enough
    except Exception as error:
        if is_out_of_memory(error):
            return Verdict("memory", watch.peak, watch.limit)
        if isinstance(error, UserError):
            return Verdict("wrong", text=str(error), exit_code=error.exit_code)
        return Verdict("wrong", text=traceback.format_exc(), exit_code=BUG)
    return Verdict("fits", watch.peak, watch.limit)


def _train(composed: Composed, allow_code: tuple[str, ...], *, watch: _Watch, folder: Path) -> None:
    values = check_recipe(composed, allow_code)
    policy = allowed_roots(allow_code)
    values["callbacks"] = {name: s for name, s in values["callbacks"].items() if s and not _shows(s, policy)}
    trainer = values.setdefault("trainer", {})
    trainer |= _ONE_SHORT_EPOCH | {"limit_train_batches": 2 * trainer["accumulate_grad_batches"]}
    if trainer.get("limit_val_batches") != 0:
        trainer["limit_val_batches"] = 2

    def prepare(cli: RecipeCLI) -> None:
        cli.trainer_overrides["default_root_dir"] = str(folder)
        cli.trainer_overrides["callbacks"] = [watch]

    cli = build(composed, values, prepare)
    cli.trainer.strategy.checkpoint_io = _CopiesOnly()
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)


def _shows(spec: Mapping[str, Any], policy: ImportPolicy) -> bool:
    """Whether a callback tells a person how training goes, which needs no memory."""
    kind = policy.resolve(spec["class_path"])
    return inspect.isclass(kind) and issubclass(kind, ProgressBar)


class _Watch(pl.Callback):
    """Sets the limit of the device, and notes what was used of it."""

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._device = torch.device("cpu")
        self.limit = 0

    @property
    def peak(self) -> int:
        """Bytes reserved on the GPU at most."""
        return torch.cuda.max_memory_reserved(self._device) if self._device.type == "cuda" else 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        if self._device.type == "cuda":
            total = torch.cuda.get_device_properties(self._device).total_memory
            self.limit = min(total, self._memory or int(OF_A_GPU * total))
            torch.cuda.set_per_process_memory_fraction(self.limit / total, self._device)


class _CopiesOnly(CheckpointIO):
    """Holds what the copy of a snapshot holds, and writes nothing."""

    def __init__(self) -> None:
        self._copy = HostCopy()
        self._held: Any = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self._held = self._copy(checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        raise FileNotFoundError(path)

    def remove_checkpoint(self, path: Any) -> None:
        """There is none."""
