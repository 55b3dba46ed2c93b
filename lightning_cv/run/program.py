"""What happens between a command line and its result, for fit, validate, test, predict and inspect?"""

from pathlib import Path

import lightning.pytorch as pl
import torch

from lightning_cv.contracts import is_trainable_task
from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.networks.saved_part import weights_are_replaced
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.batch.finder import forget_found_batch
from lightning_cv.run.build import Printed, build, check_recipe, print_if_asked
from lightning_cv.run.checkpoints import find_checkpoint, reading, run_of
from lightning_cv.run.cli import RecipeCLI
from lightning_cv.run.data_report import inspect_data
from lightning_cv.run.fit import fit
from lightning_cv.run.folder import create_run_folder, forget_run_folder, open_run_folder
from lightning_cv.run.found_objects import write_found
from lightning_cv.run.image_files import ImageFiles
from lightning_cv.run.inspection import inspect
from lightning_cv.run.label_files import LabelFiles
from lightning_cv.run.options import show_options
from lightning_cv.run.panoptic_files import PanopticFiles
from lightning_cv.run.prediction_files import PredictionFiles
from lightning_cv.run.predictions import write_predictions
from lightning_cv.run.quiet import quiet_libraries
from lightning_cv.run.result import result_lines
from lightning_cv.run.resume import forget_resume
from lightning_cv.tasks import Adversaries, VisionTask

__all__ = ["execute", "show_options"]


def execute(request: RunRequest) -> int:
    """Run one verb on a composed recipe; returns the exit status.

    Raises:
        UserError: anything in the request that a user can mend, in one line.
    """
    quiet_libraries()
    # In a process forked from a warm one torch's pool is gone; two threads that ask for a new one at once abort it.
    torch.set_num_threads(torch.get_num_threads())
    try:
        if request.verb == "inspect":
            return inspect_data(request) if request.dataset else inspect(request)
        return fit(request) if request.verb == "fit" else _score(request)
    except Printed:
        return 0
    finally:
        forget_found_batch()
        forget_run_folder()
        forget_resume()


def _score(request: RunRequest) -> int:
    if request.checkpoint is None:
        raise UserError(f"lightning-cv {request.verb} needs --ckpt: a checkpoint file or a run folder")
    checkpoint = find_checkpoint(request.checkpoint)
    values = check_recipe(request.composed, request.allow_code)
    # Scoring an existing run starts no new record of training.
    values["callbacks"] = {"progress": values["callbacks"].get("progress")}
    values.setdefault("trainer", {})["logger"] = False
    home = request.run_dir or run_of(checkpoint)

    def prepare(cli: RecipeCLI) -> None:
        nonlocal home
        print_if_asked(request, cli)
        if home is None:
            home = create_run_folder(request.runs_dir, request.name, None).path
        cli.trainer_overrides["default_root_dir"] = str(home)

    with weights_are_replaced():
        cli = build(request.composed, values, prepare)
    assert home is not None
    if request.verb == "predict":
        return _predict(request, cli, checkpoint, home)
    run = getattr(cli.trainer, request.verb)
    with reading(checkpoint):
        results = run(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, verbose=False, weights_only=True)
    folder = open_run_folder(home) if (home / "recipe.yaml").is_file() else None
    if cli.trainer.is_global_zero:
        scores = dict(results[0])
        lines = result_lines(folder, scores, trainer=cli.trainer, monitor=_monitor(cli.model), checkpoint=checkpoint)
        print(*lines, sep="\n")
    return 0


def _predict(request: RunRequest, cli: RecipeCLI, checkpoint: Path, home: Path) -> int:
    task, data = cli.model, cli.datamodule
    if not isinstance(task, VisionTask) or not isinstance(data, VisionData):
        raise UserError("predict needs a task and data of lightning_cv; others are called from Python")
    if request.images is not None:
        data.predict_from(request.images)
    writer = _writer(task, data, home)
    if writer is not None:
        cli.trainer.callbacks.append(writer)  # type: ignore[attr-defined]
    with reading(checkpoint):
        batches = cli.trainer.predict(
            task, datamodule=data, return_predictions=writer is None, ckpt_path=checkpoint, weights_only=True
        )
    if writer is not None:
        lines = writer.lines()
    elif task.predicts == "objects":
        lines = write_found(home, batches or [], data=data)
    else:
        path = home / "predictions.csv"
        count = write_predictions(path, batches or [], task=task, data=data)
        lines = [f"{count} predictions of {checkpoint} in {path}"]
    if cli.trainer.is_global_zero:
        print(*lines, sep="\n")
    return 0


def _writer(task: VisionTask, data: VisionData, home: Path) -> PredictionFiles | None:
    """What writes a file for each image; None: the task predicts rows or objects, of all images together."""
    if task.predicts == "pixels":
        return LabelFiles(home, data)
    if task.predicts == "segments":
        return PanopticFiles(home, data)
    if task.predicts == "images":
        assert isinstance(task, Adversaries)
        return ImageFiles(home, data, task.ways)
    return None


def _monitor(task: pl.LightningModule) -> str | None:
    return task.monitor if is_trainable_task(task) else None
