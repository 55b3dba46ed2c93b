"""How does a run keep its own record, also across interruptions and full disks?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.curve_log import CurveLog
from lightning_cv.record.progress import ProgressFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch import Trainer


class RunRecord:
    """Writes `progress.jsonl` in the run's folder: every point of the curves, every validation, the end.

    Attributes:
        file: the file, with the clock and the number of samples seen.
    """

    def __init__(self) -> None:
        self.file = ProgressFile()
        self._curves: CurveLog | None = None
        self._kept: int | None = None  # lines that the checkpoint knows; None: training goes on from none
        self._clock = self.file.clock  # when the latest value of the curves came in
        self._warned = False

    @property
    def waits_for_training(self) -> bool:
        """Whether a checkpoint was read and no training has begun since."""
        return self._kept is not None and self.file.folder is not None

    def open(self, trainer: Trainer, *, with_curves: bool) -> None:
        """Write to the run's folder from now on; of several devices only the first, and no development run."""
        fast_dev_run: bool = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
        writes = trainer.is_global_zero and not fast_dev_run
        self.file.open(Path(trainer.default_root_dir) if writes else None)
        if with_curves and writes:
            self._curves = CurveLog(trainer, self._write_point, note=self._note)
            trainer.loggers = [*trainer.loggers, self._curves]

    def close(self, trainer: Trainer) -> None:
        """Write what waits, and give the trainer its trackers back."""
        self._flush()
        trainer.loggers = [logger for logger in trainer.loggers if logger is not self._curves]
        self._curves = None

    def begin(self, trainer: Trainer) -> bool:
        """Start the clock; what the checkpoint does not know is void. Whether training begins anew."""
        kept, self._kept = self._kept, None
        anew = kept is None and trainer.global_step == 0
        if anew:
            self.file.reset()
        if self.file.num_lines and (anew or kept is not None):
            self._append(
                "resume",
                epoch=trainer.current_epoch,
                step=trainer.global_step,
                metrics={},
                outcome={"kept": min(kept or 0, self.file.num_lines)},
            )
        self.file.start()
        return anew

    def count(self, images: int, *, step: int) -> None:
        """Count the images of a batch, behind which `step` optimizer steps are done."""
        self.file.samples_seen += images
        if self._curves is not None and self._curves.waits_at(step):
            self._note()

    def end(self, trainer: Trainer, outcome: Mapping[str, str]) -> None:
        """Stop the clock and write how training ended."""
        if self.file.running:
            self.file.stop()
            self.write("end", trainer, outcome)

    def write(self, event: str, trainer: Trainer, outcome: Mapping[str, str] | None = None) -> dict[str, float]:
        """Write an event with all metrics that callbacks see, and return these."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._flush()
        self._append(
            event, epoch=trainer.current_epoch, step=trainer.global_step, metrics=metrics, outcome=outcome or {}
        )
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """What goes on counting after a resume, and how many lines of the file belong to this state."""
        self._flush()
        file = self.file
        return {"samples_seen": file.samples_seen, "time_s": file.time_s, "num_lines": file.num_lines}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on counting where the checkpoint was written."""
        self.file.reset(samples_seen=state_dict["samples_seen"], time_s=state_dict["time_s"])
        self._kept = state_dict["num_lines"]

    def _flush(self) -> None:
        if self._curves is not None:
            self._curves.flush()

    def _note(self) -> None:
        self._clock = self.file.clock

    def _write_point(self, epoch: int, step: int, point: dict[str, float]) -> None:
        self._append("curve", epoch=epoch, step=step, metrics=point, clock=self._clock)

    def _append(self, event: str, **fields: Any) -> None:
        """Write a line, see `ProgressFile.append`; where the disk is full it waits, and training goes on."""
        try:
            self.file.append(event, **fields)
        except OSError as error:
            if not self._warned:
                rank_zero_warn(f"progress.jsonl cannot be written ({error.strerror}); its lines wait in memory.")
            self._warned = True
