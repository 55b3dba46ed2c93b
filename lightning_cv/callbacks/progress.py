"""What does a person, or another program, see of a run while it trains?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import ProgressBar

from lightning_cv.callbacks.bar import Bar
from lightning_cv.callbacks.curves import log_period
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.images import num_images
from lightning_cv.callbacks.run_record import RunRecord
from lightning_cv.contracts import is_trainable_task
from lightning_cv.errors import Preempted, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch import LightningModule, Trainer

UNPRINTED = ("lr", "throughput/")  # beginnings of the metrics that lines leave to the curves


@skip_idle_hooks
class Progress(ProgressBar):
    """A bar a stage, a permanent line a validation, and `progress.jsonl` in the run's folder.

    The file gets every point of the curves that the trackers get, and more; it is the truth of the run.

    A line names the epoch (from 1 on the screen, from 0 in files), the step, the losses and the metrics;
    `*` marks the task's monitored metric where it is the best so far. Where the output is no terminal, the
    lines are all that is printed, without control characters. Of several devices only the first writes. The
    fields of the file are described at `ProgressFile`; the sanity check leaves no trace in it.

    Args:
        redraws_per_s: how often the bar is redrawn at most, above 0.

    Raises:
        UserError: `redraws_per_s` is not above 0.
    """

    def __init__(self, redraws_per_s: float = 10.0) -> None:
        if redraws_per_s <= 0:
            raise UserError(f"Progress: redraws_per_s is {redraws_per_s}; allowed is above 0")
        super().__init__()
        self.redraws_per_s = redraws_per_s
        self._enabled = True
        self._bar: Bar | None = None
        self._record = RunRecord()
        self._best: float | None = None
        self._metrics = ""
        self._metrics_step = -1

    def enable(self) -> None:
        """Show bars and lines."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing; the file is written all the same."""
        self._enabled = False
        self._close()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the terminal and the run's folder; the first device alone has them."""
        super().setup(trainer, pl_module, stage)
        self._bar = Bar(self.redraws_per_s) if self._enabled else None
        self._record.open(trainer, with_curves=stage == "fit")

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar (`self.print` of a task comes here)."""
        if self._bar is None:
            super().print(*args, **kwargs)
        else:
            self._bar.print(kwargs.get("sep", " ").join(str(item) for item in args))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and note where training goes on from a checkpoint."""
        if self._record.begin(trainer):
            self._best = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's bar."""
        self._begin(f"Epoch {_epoch(trainer)}", [self.total_train_batches])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images, and redraw where it is time."""
        images = num_images(batch) * trainer.world_size
        self._record.count(images, step=trainer.global_step)
        bar = self._bar
        if bar is None or not bar.live:
            return
        if bar.idle:  # a resume within an epoch begins none
            self.on_train_epoch_start(trainer, pl_module)
        if bar.advance(images):
            bar.draw(self._metrics_text(trainer), batches=batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the epoch's bar; where there is no validation the epoch gets the permanent line."""
        self._end()
        if not trainer.enable_validation:
            self._report("epoch", trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the terminal back, and write the last line."""
        self._finish(trainer, {"status": "completed"})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where the checkpoint was of the last step, and nothing was left to train, the file still gets its end."""
        if self._record.waits_for_training:
            self.on_train_start(trainer, pl_module)
            self.on_train_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back, and write how training ended."""
        statuses = {Preempted: "preempted", KeyboardInterrupt: "interrupted"}
        status = statuses.get(type(exception), "failed")
        self._finish(trainer, {"status": status, "error": f"{type(exception).__name__}: {exception}"})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the validation's bar."""
        if trainer.sanity_checking:
            self._begin("Sanity check", trainer.num_sanity_val_batches)
        else:
            self._begin("Validation", trainer.num_val_batches)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw where it is time."""
        bar = self._bar
        if bar is not None and bar.live and bar.advance(num_images(batch) * trainer.world_size):
            bar.draw("")

    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar, and report what the validation found."""
        self._end()
        if not trainer.sanity_checking:
            self._report("validation" if trainer.state.fn == "fit" else "validate", trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the test's bar."""
        self._begin("Test", trainer.num_test_batches)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar, and report what the test found."""
        self._end()
        self._report("test", trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the prediction's bar."""
        self._begin("Prediction", trainer.num_predict_batches)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar."""
        self._end()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the terminal back, and the trainer its trackers."""
        self._close()
        self._record.close(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The run's record, and the best value of the monitored metric."""
        return {**self._record.state_dict(), "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint was written."""
        self._record.load_state_dict(state_dict)
        self._best = state_dict["best"]

    def _begin(self, name: str, batches: list[int | float]) -> None:
        if self._bar is not None:
            self._bar.begin(name, sum(batches))

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.end()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _finish(self, trainer: Trainer, outcome: Mapping[str, str]) -> None:
        self._close()
        self._record.end(trainer, outcome)

    def _metrics_text(self, trainer: Trainer) -> str:
        """The bar's metrics; reading one waits for the device, hence only after the task has flushed them."""
        flush = trainer.global_step // max(log_period(trainer), 1)
        if flush != self._metrics_step:
            self._metrics_step = flush
            shown = {name: value for name, value in trainer.progress_bar_metrics.items() if is_printed(name)}
            self._metrics = _text({name: float(value) for name, value in shown.items()})
        return self._metrics

    def _report(self, event: str, trainer: Trainer, task: LightningModule) -> None:
        """Write the event, and print its permanent line."""
        metrics = self._record.write(event, trainer)
        best = self._is_best(metrics, task) if event == "validation" else None
        # Scores outside of training are the caller's to print: Lightning and the command line do.
        if self._bar is not None and trainer.state.fn == "fit":
            where = f"epoch {_epoch(trainer)}  step {trainer.global_step}"
            self._bar.print(f"{where}  {_text(_shown(metrics), best)}  ({self._record.file.time_s:.0f} s)")

    def _is_best(self, metrics: Mapping[str, float], task: LightningModule) -> str | None:
        """The monitored metric's name where it is better than ever before."""
        if not is_trainable_task(task) or task.monitor not in metrics:
            return None
        value = metrics[task.monitor]
        sign = 1 if task.mode == "max" else -1
        if self._best is None or sign * value > sign * self._best:
            self._best = value
            return task.monitor
        return None


def _epoch(trainer: Trainer) -> str:
    """The epoch as people count, with the number of them where it is known."""
    known = trainer.max_epochs is not None and trainer.max_epochs > 0
    return f"{trainer.current_epoch + 1}" + (f"/{trainer.max_epochs}" if known else "")


def _shown(metrics: Mapping[str, float]) -> dict[str, float]:
    """What stands in a permanent line: of training the means over the epoch, under their plain names."""
    epoch = {name.removesuffix("_epoch"): value for name, value in metrics.items() if name.endswith("_epoch")}
    others = {name: value for name, value in metrics.items() if not name.endswith("_epoch")}
    shown = {**others, **epoch}
    return {name: shown[name] for name in sorted(shown) if is_printed(name)}


def is_printed(name: str) -> bool:
    """Whether a metric stands in lines; values of single classes, such as `val/ap/cat`, are for the curves."""
    return not name.startswith(UNPRINTED) and name.count("/") < 2


def _text(metrics: Mapping[str, float], best: str | None = None) -> str:
    return "  ".join(f"{name} {value:.4g}{' *' if name == best else ''}" for name, value in metrics.items())
