"""How does a trained network predict faster?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import IMAGE, is_trainable_task
from lightning_cv.errors import UserError
from lightning_cv.networks.fold import fold_batch_norm

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn


@skip_idle_hooks
class FoldBatchNorm(Callback):
    """In prediction, puts the batch norms into the layers before them: the same scores with less work (row 71).

    The first batch shows which ones can be; where none can, a warning says why. The network has its norms back when
    prediction has ended.
    """

    def __init__(self) -> None:
        self._networks: tuple[nn.Module, nn.Module | None] | None = None

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Fold before the first batch."""
        if self._networks is not None:
            return
        if not is_trainable_task(pl_module):
            raise UserError(f"FoldBatchNorm: {type(pl_module).__name__} is no task with a network")
        self._networks = (pl_module.network, pl_module.averaged)
        images = batch[IMAGE][:2]
        averaged = pl_module.averaged if pl_module.scored != "raw" else None
        try:
            folded = fold_batch_norm(pl_module.network if averaged is None else averaged, images)
        except UserError as error:
            rank_zero_warn(f"FoldBatchNorm changes nothing: {error}")
            return
        if averaged is None:
            pl_module.network = folded
        else:
            pl_module.averaged = folded

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the network its norms back."""
        if self._networks is not None and is_trainable_task(pl_module):
            pl_module.network, pl_module.averaged = self._networks
        self._networks = None
