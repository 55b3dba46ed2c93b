"""What would a person look at to see how well a task does, and when is it drawn?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.exhibition import Exhibition, reason
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.contracts import LogsPictures, PublishesInfo, Showing, ShowsPictures, Stage
from lightning_cv.errors import UserError
from lightning_cv.record.pictures import PictureFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch import LightningModule, Trainer

MAX_IMAGES = 100


@skip_idle_hooks
class Media(Callback):
    """Pictures that the task draws, every few epochs: of a classifier its mistakes and its confusion matrix.

    They are drawn after the first validation with which another `every_n_epochs` epochs are complete, after the
    last validation, and after each test. The run's folder gets them as `media/<stage>/<name>/step-<steps>.png`, and
    the trackers as `<stage>/<name>`. A task shows something by its `galleries`, see `contracts.Gallery`. Nothing
    is drawn in the sanity check and in `fast_dev_run`. What cannot be drawn or written is reported once, and
    training goes on: it draws no random numbers and gets the same weights with and without pictures.

    Args:
        every_n_epochs: 1 or more; validations may be rarer.
        num_images: how many images a picture shows at most, 1 to 100.
        max_bytes: how large all pictures of the folder may be together. Beyond it the oldest go, and the trackers,
            which cannot forget, get only those of the last validation and of tests; the newest are always kept.

    Raises:
        UserError: a number that is not allowed.
    """

    def __init__(self, every_n_epochs: int = 5, num_images: int = 16, max_bytes: int = 64 * 2**20) -> None:
        if every_n_epochs < 1:
            raise UserError(f"Media: every_n_epochs is {every_n_epochs}; allowed is 1 or more")
        if not 1 <= num_images <= MAX_IMAGES:
            raise UserError(f"Media: num_images is {num_images}; allowed are 1 to {MAX_IMAGES}")
        if max_bytes < 1:
            raise UserError(f"Media: max_bytes is {max_bytes}; allowed is 1 or more")
        self.every_n_epochs = every_n_epochs
        self.num_images = num_images
        self.max_bytes = max_bytes
        self._shown_epochs = 0  # that were complete when pictures were last drawn
        self._logged_bytes = 0  # that the trackers have got
        self._loaded_step: int | None = None  # of the weights of a checkpoint
        self._exhibition: Exhibition | None = None
        self._said: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew; what a checkpoint knows comes after this."""
        self._loaded_step = self._exhibition = None
        if stage == "fit":
            self._shown_epochs = self._logged_bytes = 0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note which weights are tested: a trainer that only tests does not know their step."""
        self._loaded_step = checkpoint["global_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove pictures of a future that this training does not have: it goes on behind a checkpoint, or anew."""
        if trainer.is_global_zero and not _is_dev_run(trainer):
            self._folder(trainer).forget_after(trainer.global_step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect anew."""
        if not trainer.sanity_checking:
            self._open(trainer, pl_module, Stage.VAL)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect from one batch, of the first loader where there are several."""
        if self._exhibition is not None and dataloader_idx == 0:
            self._exhibition.add(batch, outputs)

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, if it is time; else keep what is collected, since this may have been the last validation."""
        if trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self._show(trainer, is_final=True)
            return
        epochs = trainer.current_epoch + trainer.is_last_batch
        is_final = _is_over(trainer, epochs)
        if is_final or epochs // self.every_n_epochs > self._shown_epochs // self.every_n_epochs:
            self._shown_epochs = epochs
            self._show(trainer, is_final=is_final)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last validation of a training that ended early."""
        self._show(trainer, is_final=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect anew."""
        self._open(trainer, pl_module, Stage.TEST)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        self._show(trainer, is_final=True)

    def state_dict(self) -> dict[str, Any]:
        """When pictures were last drawn, and how many bytes the trackers have got."""
        return {"shown_epochs": self._shown_epochs, "logged_bytes": self._logged_bytes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self._shown_epochs = state_dict["shown_epochs"]
        self._logged_bytes = state_dict["logged_bytes"]

    def _open(self, trainer: Trainer, task: LightningModule, stage: Stage) -> None:
        self._exhibition = None
        if _is_dev_run(trainer):
            return
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, PublishesInfo):
            self._say("the data publish no class names; no pictures are drawn")
            return
        fitting = trainer.state.fn == "fit"
        step = trainer.global_step if fitting or self._loaded_step is None else self._loaded_step
        showing = Showing(
            info=data.info,
            title=f"{stage}, epoch {trainer.current_epoch + 1}, step {step}" if fitting else f"{stage}, step {step}",
            sample_name=partial(data.sample_name, stage),
            num_images=self.num_images,
        )
        try:
            galleries = task.galleries(showing) if isinstance(task, ShowsPictures) else ()
        except Exception as error:
            self._say(f"{type(task).__name__} cannot begin its pictures ({reason(error)})")
            return
        if galleries:
            self._exhibition = Exhibition(stage, step=step, galleries=galleries)
        else:
            self._say(f"{type(task).__name__} has no pictures to show")

    def _show(self, trainer: Trainer, *, is_final: bool) -> None:
        """Bring together what all devices collected, draw, write and log it; every process calls it."""
        exhibition, self._exhibition = self._exhibition, None
        if exhibition is None:
            return
        devices = exhibition.gather()
        if not trainer.is_global_zero:
            return
        pngs = exhibition.draw(devices, lambda why: self._say(f"a picture of {exhibition.stage} is left out ({why})"))
        folder = self._folder(trainer)
        try:
            pictures = {name: folder.write(name, png, step=exhibition.step) for name, png in pngs.items()}
            # A test stands in the curves behind the training that it ends, whichever weights it took.
            self._log(trainer, pictures, step=max(exhibition.step, trainer.global_step), is_final=is_final)
        except Exception as error:
            self._say(f"pictures of {exhibition.stage} cannot be written or logged ({reason(error)})")

    def _log(self, trainer: Trainer, pictures: Mapping[str, Path], *, step: int, is_final: bool) -> None:
        trackers = [logger for logger in trainer.loggers if isinstance(logger, LogsPictures)]
        if not trackers or not pictures:
            return
        size = sum(path.stat().st_size for path in pictures.values())
        if self._logged_bytes + size > self.max_bytes and not is_final:
            self._say(f"the trackers have got max_bytes ({self.max_bytes}) of pictures; of the next, only the last")
            return
        self._logged_bytes += size
        for tracker in trackers:
            tracker.log_pictures(pictures, step=step)

    def _folder(self, trainer: Trainer) -> PictureFolder:
        return PictureFolder(Path(trainer.default_root_dir) / "media", self.max_bytes)

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            rank_zero_warn(f"Media: {what}.")


def _is_over(trainer: Trainer, epochs: int) -> bool:
    """Whether the validation that ends is known to be the last; training may still end before the next one."""
    max_epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    return 0 < max_epochs <= epochs or 0 < trainer.max_steps <= trainer.global_step


def _is_dev_run(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # set by a connector
