"""Has a game between a generator and a discriminator stopped to teach the generator anything?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.curves import log_values
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import (
    IMAGE,
    LABEL,
    Density,
    GenerativeNetwork,
    PublishesInfo,
    TrainsByTurns,
    is_trainable_task,
)
from lightning_cv.errors import UserError
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.ops.processes import gather

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor, nn

LOSS = "train/discriminator_loss_epoch"
SEED = 1  # of the noise that is looked at


@skip_idle_hooks
class AdversarialMonitor(Callback):
    """Warns, once each time it begins, of the two ends that no loss of a game tells apart from success (row 249).

    It looks at the end of each epoch, and logs what it finds:

    * `monitor/discriminator_won`, 1 while the discriminator's loss has been near 0 for `window` looks in a row: it
      knows every image, and has little left to teach. Only of losses whose least value is 0.
    * `monitor/mode_collapse`, 1 while `monitor/diversity` has been low for `window` looks in a row: how far a sample is
      from the nearest other one, on the mean, as a share of the same among as many real images of the same classes (the
      last batch). 0: all samples are alike; two that take turns are found too. Samples are of the averaged weights,
      where there are some, from noise that stays the same.

    In a task that does not play it is idle.

    Args:
        window: epochs, 1 or more.
        won_below: loss of a discriminator that has won, 0 or more.
        collapsed_below: diversity of a generator that has collapsed, in [0, 1].

    Raises:
        UserError: a value outside its range.
    """

    def __init__(self, window: int = 5, won_below: float = 0.05, collapsed_below: float = 0.3) -> None:
        if window < 1:
            raise UserError(f"AdversarialMonitor: window is {window}; allowed: 1 or more")
        if not won_below >= 0:
            raise UserError(f"AdversarialMonitor: won_below is {won_below}; allowed: 0 or more")
        if not 0 <= collapsed_below <= 1:
            raise UserError(f"AdversarialMonitor: collapsed_below is {collapsed_below}; allowed: 0 to 1")
        self.window = window
        self.won_below = won_below
        self.collapsed_below = collapsed_below
        self._looks = {"discriminator_won": 0, "mode_collapse": 0}  # in a row
        self._diversity: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare samples with the last batch of an epoch."""
        if trainer.is_last_batch and isinstance(pl_module, TrainsByTurns):
            self._diversity = _diversity(trainer, pl_module, batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, log and warn."""
        if not isinstance(pl_module, TrainsByTurns):
            return
        values = {}
        loss = trainer.callback_metrics.get(LOSS)
        if loss is not None and pl_module.loss_is_zero_where_won:
            said = f"its loss has been below {self.won_below:g}"
            is_low = float(loss) < self.won_below
            what = "the discriminator has won"
            values["monitor/discriminator_won"] = self._note("discriminator_won", what, said, is_low)
        if self._diversity is not None:
            said = f"samples have been less than {self.collapsed_below:g} times as diverse as real images"
            is_low = self._diversity < self.collapsed_below
            values["monitor/diversity"] = self._diversity
            values["monitor/mode_collapse"] = self._note("mode_collapse", "the generator has collapsed", said, is_low)
        if values:
            log_values(trainer, values, step=trainer.global_step)

    def _note(self, name: str, what: str, said: str, is_low: bool) -> float:
        """Count a look; whether it has been so for the whole window."""
        self._looks[name] = self._looks[name] + 1 if is_low else 0
        if self._looks[name] == self.window:
            rank_zero_warn(f"AdversarialMonitor: {what}: {said} for {self.window} epochs")
        return float(self._looks[name] >= self.window)

    def state_dict(self) -> dict[str, Any]:
        """How often in a row, and what was seen last."""
        return {"looks": dict(self._looks), "diversity": self._diversity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint was written."""
        self._looks = dict(state_dict["looks"])
        self._diversity = state_dict["diversity"]


@torch.no_grad()
def _diversity(trainer: Trainer, task: LightningModule, batch: Any) -> float | None:
    """Of samples as a share of that of the images of a batch, the mean over devices; None: too few images."""
    assert is_trainable_task(task)
    network: nn.Module = task.averaged or task.network
    generator = cast("GenerativeNetwork", network)
    if getattr(network, "density", Density.NONE) == Density.NONE:
        return None
    real = batch[IMAGE].float()
    data = getattr(trainer, "datamodule", None)
    if isinstance(data, PublishesInfo):
        mean, std = (real.new_tensor(values).view(1, -1, 1, 1) for values in (data.info.mean, data.info.std))
        real = (real * std + mean).clamp(0, 1)
    draws = OwnDraws.of_indices(torch.arange(len(real), device=real.device), seed=SEED)
    labels = None if generator.num_classes is None else batch[LABEL]
    samples = _sample_in_evaluation(network, draws, labels)
    parts = [part for part in gather((_spread(samples), _spread(real)) if len(real) > 1 else None) if part]
    if not parts or not all(real_spread for _, real_spread in parts):
        return None
    return sum(sampled / real_spread for sampled, real_spread in parts) / len(parts)


def _sample_in_evaluation(network: nn.Module, draws: OwnDraws, labels: Tensor | None) -> Tensor:
    """Running statistics are used, and not moved."""
    was_training = network.training
    network.eval()
    try:
        return cast("GenerativeNetwork", network).sample(draws, labels)
    finally:
        network.train(was_training)


def _spread(images: Tensor) -> float:
    """How far an image is from the nearest other one, on the mean."""
    flat = images.float().flatten(1)
    distances = torch.cdist(flat, flat).fill_diagonal_(float("inf"))
    return float(distances.min(1).values.mean())
