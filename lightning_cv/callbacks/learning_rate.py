"""What learning rate did each parameter group have?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lightning_cv.callbacks.curves import first_logged_step, log_period, log_values
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import TrainsByTurns

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.optim import Optimizer


@skip_idle_hooks
class LearningRate(Callback):
    """Logs `lr/<group>` for every parameter group, every `trainer.log_every_n_steps` optimizer steps.

    The value is the one that the logged step used. A group is called by its `name`, else by its number; a
    single nameless group is called `lr`, and several optimizers are told apart as `lr/<number>/<group>`, by
    name where the task trains by turns: `lr/generator/network`.
    """

    def __init__(self) -> None:
        self._next_step: float = float("inf")
        self._steps_per_batch = 1
        self._names: tuple[str, ...] = ()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the first step to log."""
        self._steps_per_batch, self._names = len(trainer.optimizers), ()
        if isinstance(pl_module, TrainsByTurns):
            self._steps_per_batch, self._names = 1, type(pl_module).player_names
        self._next_step = first_logged_step(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log before the step, since the schedule moves on right after it."""
        step = trainer.global_step + self._steps_per_batch
        if step >= self._next_step:
            self._next_step += log_period(trainer)
            log_values(trainer, learning_rates(trainer.optimizers, self._names), step=step)


def learning_rates(optimizers: list[Optimizer], names: tuple[str, ...] = ()) -> dict[str, float]:
    """The learning rate of every parameter group by the name under which it is logged.

    Args:
        optimizers: one or more.
        names: of them; none: their numbers.
    """
    rates = {}
    for number, optimizer in enumerate(optimizers):
        prefix = "lr" if len(optimizers) == 1 else f"lr/{names[number] if names else number}"
        groups = optimizer.param_groups
        for index, group in enumerate(groups):
            name = group.get("name", None if len(groups) == 1 else index)
            rates[prefix if name is None else f"{prefix}/{name}"] = float(group["lr"])
    return rates
