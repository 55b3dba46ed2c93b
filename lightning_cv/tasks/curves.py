"""How do the values of every training step reach the curves without stopping the device at each step?"""

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, INDEX, Batch, PublishesInfo, Stage
from lightning_cv.errors import NonFiniteLossError
from lightning_cv.tasks.means import SampleMeans, mean_over_devices, window_totals

SHOWN_SAMPLES = 8  # named in the line about a non-finite loss


class TrainingCurves:
    """Values of training steps, kept on the device and written once per window of optimizer steps.

    A point of a curve is the mean over all samples of its window, on all devices: no step is left out.

    Args:
        loss: the name of the value that must be finite.
    """

    def __init__(self, loss: str = "loss") -> None:
        self._loss = loss
        self._means = SampleMeans()
        self._indices: list[Tensor] = []
        self._flushed_step = 0

    def add(self, batch: Batch, values: Mapping[str, Tensor]) -> None:
        """Add one batch's scalar means by name, the loss among them; nothing is read from the device."""
        self._means.add_batch(len(batch[IMAGE]))
        for name, value in values.items():
            self._means.add(name, value)
        if INDEX in batch:
            self._indices.append(batch[INDEX])

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Whether an optimizer step has just completed a window of `trainer.log_every_n_steps` steps."""
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
        return bool(every) and step % every == 0 and step != self._flushed_step

    def flush(self, trainer: pl.Trainer) -> None:
        """Write the means since the last flush; every process calls it at the same step.

        Raises:
            NonFiniteLossError: a loss of the window is NaN or infinite; names its samples.
        """
        self._flushed_step = trainer.global_step
        if not len(self._means):
            return
        rows, counts = self._means.drain()
        indices, self._indices = self._indices, []
        means = mean_over_devices(window_totals(rows, counts))
        if not math.isfinite(means[self._loss]):
            raise _non_finite_loss(trainer, rows[self._loss], indices)
        values = {f"train/{name}": mean for name, mean in means.items()}
        trainer.progress_bar_metrics.update(values)
        _publish(trainer, values)

    def end_epoch(self, trainer: pl.Trainer) -> None:
        """Write `train/<name>_epoch`, the means over all samples of the epoch; every process calls it.

        Called before the validation at its end, so that both stand in the same record; a second call is empty.
        """
        self.flush(trainer)
        means = mean_over_devices(self._means.take_totals())
        _publish(trainer, {f"train/{name}_epoch": mean for name, mean in means.items()})

    def state_dict(self) -> dict[str, Any]:
        """The unfinished window and epoch of this process."""
        return {**self._means.state_dict(), "indices": list(self._indices), "flushed_step": self._flushed_step}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on within the window and the epoch in which the checkpoint was written."""
        self._means.load_state_dict(state_dict)
        self._indices = list(state_dict["indices"])
        self._flushed_step = state_dict["flushed_step"]


class SparseCurves(TrainingCurves):
    """The same of values that not every batch has, in parts by what they are of.

    Args:
        losses: by the name of the part, that of the value in it that must be finite.
    """

    def __init__(self, losses: Mapping[str, str]) -> None:
        super().__init__()
        self._parts = {part: TrainingCurves(loss) for part, loss in losses.items()}

    def add_to(self, part: str, batch: Batch, values: Mapping[str, Tensor]) -> None:
        """Add one batch's scalar means to a part, by the same names each time."""
        self._parts[part].add(batch, values)

    def flush(self, trainer: pl.Trainer) -> None:
        """See `TrainingCurves`."""
        super().flush(trainer)
        for curves in self._parts.values():
            curves.flush(trainer)

    def end_epoch(self, trainer: pl.Trainer) -> None:
        """See `TrainingCurves`."""
        for curves in self._parts.values():
            curves.end_epoch(trainer)

    def state_dict(self) -> dict[str, Any]:
        """See `TrainingCurves`."""
        parts = {part: curves.state_dict() for part, curves in self._parts.items()}
        return {**super().state_dict(), "parts": parts}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `TrainingCurves`."""
        super().load_state_dict(state_dict)
        for part, curves in self._parts.items():
            curves.load_state_dict(state_dict["parts"][part])


def _publish(trainer: pl.Trainer, values: Mapping[str, float]) -> None:
    """Give values to the trackers and to callbacks, without the collection and reduction of `self.log`."""
    if values:
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        track(trainer, values)


def track(trainer: pl.Trainer, values: Mapping[str, float]) -> None:
    """Write a point of the curves at the present optimizer step.

    Lightning's own way would put a validation one step before the training steps that led to it.
    """
    for logger in trainer.loggers:
        logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=trainer.global_step)


def _non_finite_loss(trainer: pl.Trainer, losses: list[float], indices: list[Tensor]) -> NonFiniteLossError:
    """The error for the first bad batch of a window; validation and epoch ends close a window, so it is one epoch's."""
    epoch, step = trainer.current_epoch, trainer.global_step
    bad = next((position for position, loss in enumerate(losses) if not math.isfinite(loss)), None)
    if bad is None:
        return NonFiniteLossError(
            f"epoch {epoch}: the training loss became non-finite on another device by step {step}"
        )
    names = [str(index) for index in indices[bad].tolist()] if len(indices) == len(losses) else []
    data = getattr(trainer, "datamodule", None)
    if isinstance(data, PublishesInfo):
        names = [data.sample_name(Stage.TRAIN, int(name)) for name in names]
    shown = ", ".join(names[:SHOWN_SAMPLES]) + (
        f" and {len(names) - SHOWN_SAMPLES} more" if len(names) > SHOWN_SAMPLES else ""
    )
    batch = trainer.fit_loop.batch_idx - (len(losses) - 1 - bad)
    return NonFiniteLossError(
        f"epoch {epoch}, batch {batch}: the training loss became {losses[bad]} (found at step {step}); samples:"
        f" {shown or 'unknown'}; lower the learning rate or look at these samples; the last finite snapshot is kept"
    )
