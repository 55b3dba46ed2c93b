"""Which states of training are kept on disk? Those of the best validations, and the newest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Checkpoint

from lightning_cv.callbacks.checkpoint_io import save_under, use_snapshot_io, wait_until_written
from lightning_cv.callbacks.finite import FiniteWeights
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.kept import Best, Newest, files_of_before
from lightning_cv.callbacks.position import Phase
from lightning_cv.callbacks.resume import restore_training, save_training, what_to_restore
from lightning_cv.callbacks.watched import Mode, is_logged, watched_metric
from lightning_cv.errors import UserError
from lightning_cv.record.atomic import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch import LightningModule, Trainer


@skip_idle_hooks
class Snapshot(Checkpoint):
    """Keeps the best states seen in validation and the newest ones (catalogue row 122).

    In the folder `checkpoints` of the run: `best-epoch<e>-step<s>.ckpt` (epochs from 0) for the best values
    of the metric, and `last-epoch<e>-step<s>.ckpt` for the newest states. Training that goes on from any of
    them ends with the same bits as if it had never stopped: each holds weights, averaged weights, optimizer,
    schedule, scaler, the position in the data, the state of every callback and the random generators of each
    process. Files hold tensors and plain values only and load with `weights_only=True`. They are written in
    the background, never torn (see `SnapshotIO`), and an old one goes only when the new one is verified.
    Weights with a NaN or an infinite value are never saved: the files that are there stay.

    Args:
        save_top_k: number of best snapshots kept; 0: none; -1: all.
        keep_last: number of newest snapshots kept: an older one is there in case the newest is damaged; 0: none.
        monitor: metric that tells the best; None: the task's.
        mode: whether less ("min") or more ("max") is better; None: the task's.
        every_n_epochs: epochs between two saves, at least 1; the end of training always saves.
        every_n_steps: optimizer steps after which the newest state is saved besides; None: at epochs only.

    Attributes:
        run: what the program that runs this training wants recorded in each file, such as the run's id.

    Raises:
        UserError: a value outside its range, or a metric that was not logged, with those that were.
    """

    def __init__(
        self,
        save_top_k: int = 1,
        keep_last: int = 2,
        monitor: str | None = None,
        mode: Mode | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
    ) -> None:
        for name, value, least in (
            ("save_top_k", save_top_k, -1),
            ("keep_last", keep_last, 0),
            ("every_n_epochs", every_n_epochs, 1),
            ("every_n_steps", every_n_steps or 1, 1),
        ):
            if value < least:
                raise UserError(f"Snapshot: {name} is {value}; allowed is {least} or more")
        if mode not in (None, "min", "max"):
            raise UserError(f"Snapshot: mode is {mode!r}; allowed are min and max")
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self.run: Mapping[str, Any] = {}
        self._given: tuple[str | None, Mode | None] = (monitor, mode)
        self._best = Best(save_top_k)
        self._newest = Newest(keep_last)
        self._folder = Path("checkpoints")
        self._phase = Phase.ENDED
        self._validated_step = -1
        self._saved: tuple[int, Phase] | None = None
        self._restored: dict[str, Any] | None = None
        self._finite = FiniteWeights()
        self._best_elsewhere = ""

    @property
    def state_key(self) -> str:
        """Two of them in one run are told apart by what they watch."""
        return self._generate_state_key(monitor=self._given[0])

    @property
    def best_model_path(self) -> str:
        """The file of the best value; empty: none yet. Lightning's `ckpt_path="best"` asks for it."""
        if self._best_elsewhere:
            return self._best_elsewhere
        return os.fspath(self._folder / self._best.name) if self._best.name else ""

    @best_model_path.setter
    def best_model_path(self, path: str) -> None:
        """Lightning tells the process that started the training ones what these found."""
        self._best_elsewhere = path

    @property
    def best_model_score(self) -> float | None:
        """The best value that a file is kept for; None: none yet."""
        return self._best.score

    @property
    def last_model_path(self) -> str:
        """The newest of the `last-*` files; empty: none yet."""
        return os.fspath(self._folder / self._newest.name) if self._newest.name else ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric from the task and the folder from the run, and let files be written as promised."""
        monitor, mode = self._given
        self._best.watch(*watched_metric(pl_module, monitor, mode=mode, callback="Snapshot"))
        folder = trainer.strategy.broadcast(Path(trainer.default_root_dir).resolve() / "checkpoints")
        self._folder = folder
        use_snapshot_io(trainer)
        if stage == "fit" and trainer.is_global_zero and folder.is_dir():
            remove_leftovers(folder)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning leaves out, so that a resume is exact; called on all processes."""
        checkpoint["run"] = dict(self.run)
        save_training(checkpoint, trainer, phase=self._phase)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what must be put back when training starts."""
        self._restored = what_to_restore(checkpoint) if trainer.state.fn == "fit" else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on where the checkpoint was written; else start anew: an earlier fit says nothing about this one."""
        restored, self._restored = self._restored, None
        if restored is None:
            self._saved, self._validated_step = None, -1
        else:
            self._phase = restore_training(restored, trainer)
            self._saved = (trainer.global_step, self._phase)
        if trainer.is_global_zero and self._folder.is_dir():
            goes_on_here = restored is not None and Path(trainer.ckpt_path or "").resolve().parent == self._folder
            self._newest.start(files_of_before(self._folder, known=_best_names(trainer)) if goes_on_here else [])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the newest state where its period ends."""
        self._phase = Phase.TRAINED
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and (self._saved is None or self._saved[0] != step):
            self.save_now(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know that a save from here on finds the validation undone."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._phase = Phase.VALIDATING

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where validations are not one an epoch."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._phase = Phase.VALIDATED
        self._validated_step = trainer.global_step
        if trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1:
            return  # the end of the epoch follows, where the other callbacks have counted this validation
        self._save_epoch(trainer, pl_module, fresh=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the epoch and its validation; a metric of earlier weights names no best ones."""
        self._phase = Phase.ENDED
        fresh = self._validated_step == trainer.global_step or not trainer.enable_validation
        self._save_epoch(trainer, pl_module, fresh=fresh)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state in which training ends, and wait until it is on disk."""
        self._phase = Phase.FINISHED
        if self._saved is None or self._saved[0] != trainer.global_step:
            self.save_now(trainer, pl_module)
        wait_until_written(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where the checkpoint was of a training that had ended, nothing was trained: leave all as it left it."""
        if self._restored is not None:
            restore_training(self._restored, trainer)
            self._restored = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Wait for what is being written."""
        wait_until_written(trainer)

    def save_now(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the newest state, unless it is saved; every process calls it at the end of the same step.

        Not within the very last step of `max_steps`, whose end Lightning would pass over after a resume.
        """
        ended = self._phase in (Phase.ENDED, Phase.FINISHED)
        if not ended and 0 <= trainer.max_steps <= trainer.global_step:
            return
        if self._is_due(trainer) and self._finite(trainer, pl_module):
            self._save(trainer, [self._name("last", trainer)])

    def state_dict(self) -> dict[str, Any]:
        """The best files and scores."""
        return {"best": self._best.state_dict(), "validated_step": self._validated_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the files and scores of before."""
        self._best.load_state_dict(state_dict["best"])
        self._validated_step = state_dict["validated_step"]

    def _save_epoch(self, trainer: Trainer, pl_module: LightningModule, *, fresh: bool) -> None:
        """Save what the end of a validation or of an epoch makes worth keeping."""
        if trainer.fast_dev_run or not self._finite(trainer, pl_module):  # type: ignore[attr-defined]
            return
        ends_period = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        names = []
        if (
            ends_period
            and fresh
            and self._best.num_kept
            and is_logged(self._best.monitor, trainer, callback="Snapshot")
        ):
            name = self._name("best", trainer)
            if self._best.add(name, float(trainer.callback_metrics[self._best.monitor])):
                names.append(name)
        if ends_period and self._is_due(trainer):
            names.append(self._name("last", trainer))
        if names:
            self._save(trainer, names)

    def _save(self, trainer: Trainer, names: list[str]) -> None:
        """Write one state under each name, then remove the files that it replaces."""
        for name in names:
            if name.startswith("last"):
                self._saved = (trainer.global_step, self._phase)
                self._newest.add(name)
        save_under(trainer, [self._folder / name for name in names])
        for name in [*self._best.take_replaced(), *self._newest.take_replaced()]:
            trainer.strategy.remove_checkpoint(self._folder / name)

    def _name(self, kind: str, trainer: Trainer) -> str:
        epoch = trainer.fit_loop.epoch_progress.current.ready - 1
        return f"{kind}-epoch{epoch:03d}-step{trainer.global_step:06d}.ckpt"

    def _is_due(self, trainer: Trainer) -> bool:
        unsaved = trainer.global_step > 0 and self._saved != (trainer.global_step, self._phase)
        fast_dev_run: bool = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
        return self._newest.num_kept > 0 and unsaved and not fast_dev_run


def _best_names(trainer: Trainer) -> set[str]:
    """The best files of all snapshots of this run."""
    snapshots = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Snapshot)]
    return {name for snapshot in snapshots for name in snapshot._best.names}
