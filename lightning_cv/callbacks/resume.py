"""What beyond Lightning's own state makes training that goes on the same as training that never stopped?"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv import __version__
from lightning_cv.callbacks.memory_format import lay_out_states
from lightning_cv.callbacks.position import (
    Phase,
    go_on_within_epoch,
    is_within_epoch,
    set_resumable_loops,
    start_next_epoch,
)
from lightning_cv.callbacks.randomness import random_state, set_random_state
from lightning_cv.ops.processes import gather

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def save_training(checkpoint: dict[str, Any], trainer: Trainer, *, phase: Phase) -> None:
    """Add to a checkpoint what Lightning leaves out; every process calls it at the same point.

    Args:
        checkpoint: Lightning's, changed in place: `random` (the generators of each process by rank), `phase`,
            `metrics` (as callbacks see them), `versions`, and the counters of the loops.
        trainer: the trainer that saves.
        phase: what of the present step and epoch is done.
    """
    checkpoint["random"] = gather(random_state(trainer.strategy.root_device))
    checkpoint["phase"] = str(phase)
    checkpoint["metrics"] = {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()}
    checkpoint["versions"] = {
        "lightning_cv": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "lightning")},
    }
    if trainer.state.fn == "fit":
        set_resumable_loops(trainer, checkpoint["loops"]["fit_loop"], phase=phase)


def what_to_restore(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """The part of a checkpoint that `restore_training` needs; None: it was written without `save_training`."""
    names = ("random", "phase", "metrics")
    return {name: checkpoint[name] for name in names} if names[0] in checkpoint else None


def restore_training(saved: dict[str, Any], trainer: Trainer) -> Phase:
    """Put back what `save_training` added, when everything else is restored; returns the phase."""
    phase = Phase(saved["phase"])
    metrics = {name: value.to(trainer.strategy.root_device) for name, value in saved["metrics"].items()}
    trainer.callback_metrics.update(metrics)
    for optimizer in trainer.optimizers:
        lay_out_states(optimizer)
    if is_within_epoch(trainer):
        go_on_within_epoch(trainer)
    else:
        start_next_epoch(trainer)
        if phase is Phase.ENDED:
            _step_plateau_schedules(trainer)
    states = saved["random"]
    if len(states) == trainer.world_size:
        set_random_state(states[trainer.global_rank], trainer.strategy.root_device)
    else:
        rank_zero_warn(
            f"The checkpoint was written by {len(states)} processes and is read by {trainer.world_size}: the order "
            "of the data stays the same, what the network draws at random (dropout) does not."
        )
    return phase


def _step_plateau_schedules(trainer: Trainer) -> None:
    """Lightning steps the schedules that watch a metric after the hooks in which an epoch is saved."""
    if any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
        trainer.fit_loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
