"""How does everything that the trackers get reach the run's own file too?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightning.pytorch import Trainer


class CurveLog(Logger):
    """A tracker that collects what is logged for one optimizer step into one point, and hands it on.

    Args:
        trainer: tells the step where a caller names an earlier one: for a validation, Lightning's own is one behind.
        write: takes a finished point: epoch, step, name to value.
        note: called whenever values come in, so that the writer can keep the time.
    """

    def __init__(
        self, trainer: Trainer, write: Callable[[int, int, dict[str, float]], None], *, note: Callable[[], None]
    ) -> None:
        super().__init__()
        self._trainer = trainer
        self._write = write
        self._note = note
        self._point: dict[str, float] = {}
        self._epoch = self._step = 0

    @property
    def name(self) -> str | None:
        """None: it names no folder."""
        return None

    @property
    def version(self) -> str | None:
        """None: it names no folder."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The run's folder."""
        return self._trainer.default_root_dir

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The recipe is in the run's folder already."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values to the point of their step."""
        step = max(self._trainer.global_step, step or 0)
        if step != self._step:
            self.flush()
        self._epoch, self._step = self._trainer.current_epoch, step
        # The epoch is a field of its own.
        self._point.update({name: float(value) for name, value in metrics.items() if name != "epoch"})
        self._note()

    def waits_at(self, step: int) -> bool:
        """Whether a point of this step is being collected."""
        return step == self._step and bool(self._point)

    def flush(self) -> None:
        """Hand on the point that is being collected."""
        point, self._point = self._point, {}
        if point:
            self._write(self._epoch, self._step, point)
