"""How are the weights averaged over training without ever being swapped?"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import Scored, TrainableTask, is_trainable_task
from lightning_cv.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor, nn

SCORED = ("averaged", "raw", "both")


@skip_idle_hooks
class Ema(Callback):
    """Exponential moving average of the network's weights, scored instead of or beside the raw ones.

    After each optimizer step t = 0, 1, ...: `average += (1 - decay_t) (weights - average)`, with
    `decay_t = min(decay, (1 + t) / (10 + t))` under warm-up (the rule of TensorFlow's
    `ExponentialMovingAverage`) and `decay_t = decay` without. Parameters and floating buffers are averaged,
    other buffers copied. The average is a copy of the network alone, kept in the task's `averaged`, which
    the task scores, saves and restores; the weights in training are never replaced. Until `start_step` it
    equals the raw weights, so that a validation before the start scores what was trained.

    Args:
        decay: weight of the old average in an update, in [0, 1); 0.999 looks back about 1,000 updates.
        warmup: let the decay grow with the number of updates, so that the first weights are soon forgotten.
        every_n_steps: optimizer steps between two updates, at least 1; `decay` counts per update.
        start_step: optimizer steps before averaging starts, at least 0.
        scored: the weights that validation, test and prediction use: "averaged", "raw", or "both".

    Raises:
        UserError: a value outside its range, a task without `network`, sharded or half-precision weights.
    """

    def __init__(
        self,
        decay: float = 0.999,
        warmup: bool = True,
        every_n_steps: int = 1,
        start_step: int = 0,
        scored: Scored = "averaged",
    ) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"Ema: decay is {decay}; allowed is 0 <= decay < 1")
        if every_n_steps < 1:
            raise UserError(f"Ema: every_n_steps is {every_n_steps}; allowed is 1 or more")
        if start_step < 0:
            raise UserError(f"Ema: start_step is {start_step}; allowed is 0 or more")
        if scored not in SCORED:
            raise UserError(f"Ema: scored is {scored!r}; allowed are {', '.join(SCORED)}")
        self.decay = decay
        self.warmup = warmup
        self.every_n_steps = every_n_steps
        self.start_step = start_step
        self.scored: Scored = scored
        self.num_updates = 0
        self._last_step = 0
        self._tensors = _Tensors()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the task which weights to score."""
        if not is_trainable_task(pl_module):
            raise UserError(f"Ema: {type(pl_module).__name__} is no task with a network and an averaged copy")
        if isinstance(trainer.strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy):
            raise UserError(
                "Ema: sharded weights cannot be averaged; use strategy ddp or leave it out (callbacks.ema: null)"
            )
        pl_module.scored = self.scored

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let the recipe, not the checkpoint, say which weights to score."""
        _task(pl_module).scored = self.scored

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the averaged copy, or take up the one that the task restored."""
        task = _task(pl_module)
        self._refuse_stalled_average(task.network)
        if task.averaged is None:
            task.averaged = deepcopy(task.network)
            self.num_updates = 0
        task.averaged.requires_grad_(False).eval().to(pl_module.device)
        self._tensors = _Tensors(task.network, task.averaged)
        if self.num_updates == 0:
            self._tensors.copy()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the step at which training (re)starts."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average once an optimizer step, whatever the number of micro-batches in it."""
        step = trainer.global_step
        if step == self._last_step:
            return
        self._last_step = step
        if step <= self.start_step:
            self._tensors.copy()
        elif (step - self.start_step) % self.every_n_steps == 0:
            self._tensors.lerp(1.0 - self._next_decay())
            self.num_updates += 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let every device score the same average."""
        self._tensors.broadcast_buffers(trainer.world_size)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let every device end with the same average."""
        self._tensors.broadcast_buffers(trainer.world_size)

    def state_dict(self) -> dict[str, Any]:
        """The number of updates; the average itself is in the task's part of the checkpoint."""
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint was written."""
        self.num_updates = state_dict["num_updates"]

    def _next_decay(self) -> float:
        if not self.warmup:
            return self.decay
        return min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    def _refuse_stalled_average(self, network: nn.Module) -> None:
        for name, parameter in network.named_parameters():
            if parameter.is_floating_point() and 1 - self.decay < torch.finfo(parameter.dtype).eps:
                raise UserError(
                    f"Ema: {name} is {parameter.dtype}, too coarse for decay {self.decay}: the average would "
                    "not move; use a *-mixed trainer.precision, a smaller decay, or drop Ema"
                )


def _task(pl_module: LightningModule) -> TrainableTask:
    assert is_trainable_task(pl_module)
    return pl_module


class _Tensors:
    """The tensors of a network beside those of its average, in one order, updated in fused calls."""

    def __init__(self, network: nn.Module | None = None, averaged: nn.Module | None = None) -> None:
        self._raw: list[Tensor] = list(network.parameters()) if network else []
        self._averaged: list[Tensor] = list(averaged.parameters()) if averaged else []
        # Parameters keep their identity for life; modules may replace their buffers, so these are looked up.
        self._raw_owners = _buffer_owners(network) if network else []
        self._averaged_owners = _buffer_owners(averaged) if averaged else []

    def copy(self) -> None:
        """Make the average equal to the weights."""
        with torch.no_grad():
            targets = self._averaged + _buffers(self._averaged_owners)
            torch._foreach_copy_(targets, self._raw + _buffers(self._raw_owners))

    def lerp(self, weight: float) -> None:
        """Move the average by `weight`, in [0, 1], of the way to the weights."""
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._raw, weight)
            if not self._raw_owners:
                return
            pairs = list(zip(_buffers(self._averaged_owners), _buffers(self._raw_owners), strict=True))
            floating = [pair for pair in pairs if pair[0].is_floating_point()]
            others = [pair for pair in pairs if not pair[0].is_floating_point()]
            if floating:
                torch._foreach_lerp_([a for a, _ in floating], [b for _, b in floating], weight)
            if others:
                torch._foreach_copy_([a for a, _ in others], [b for _, b in others])

    def broadcast_buffers(self, world_size: int) -> None:
        """Give every device the averaged buffers of the first one, as DDP does with the raw ones.

        Each device's batch statistics differ between two such broadcasts; the parameters never do.
        """
        if world_size > 1:
            for buffer in _buffers(self._averaged_owners):
                torch.distributed.broadcast(buffer, src=0)


def _buffer_owners(network: nn.Module) -> list[tuple[nn.Module, str]]:
    owners = []
    for path, _ in network.named_buffers():
        owner, _, name = path.rpartition(".")
        owners.append((network.get_submodule(owner), name))
    return owners


def _buffers(owners: list[tuple[nn.Module, str]]) -> list[Tensor]:
    return [getattr(owner, name) for owner, name in owners]
