"""What happens between a command line and its result, for fit, validate, test and predict?"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml

from lightning_cv.contracts import is_trainable_task
from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.check import check, restrict_imports
from lightning_cv.run.checkpoints import find_checkpoint, reading, run_of
from lightning_cv.run.cli import RecipeCLI
from lightning_cv.run.folder import (
    RunFolder,
    create_run_folder,
    discard_run_folder,
    forget_run_folder,
    open_run_folder,
    write_provenance,
)
from lightning_cv.run.options import show_options
from lightning_cv.run.parse_errors import explain
from lightning_cv.run.predictions import write_predictions
from lightning_cv.run.quiet import quiet_libraries
from lightning_cv.run.result import result_lines
from lightning_cv.tasks import VisionTask
from lightning_cv.tracking import WandbTracker

__all__ = ["execute", "show_options"]

# What a recipe gets if it does not name them: no run without a record and a snapshot.
DEFAULT_CALLBACKS: dict[str, Any] = {
    "snapshot": {"class_path": "lightning_cv.callbacks.Snapshot"},
    "progress": {"class_path": "lightning_cv.callbacks.Progress"},
}


def execute(request: RunRequest) -> int:
    """Run one verb on a composed recipe; returns the exit status.

    Raises:
        UserError: anything in the request that a user can mend, in one line.
    """
    quiet_libraries()
    try:
        return _fit(request) if request.verb == "fit" else _score(request)
    except Printed:
        return 0
    finally:
        forget_run_folder()


def check_recipe(composed: Composed, allow_code: tuple[str, ...]) -> dict[str, Any]:
    """The values of a recipe with the default callbacks, after every check that needs no object.

    Raises:
        UserError: unknown keys, classes or packages; impossible numbers of devices.
    """
    allowed = allowed_roots(allow_code)
    restrict_imports(allowed)
    values = copy.deepcopy(dict(composed.values))
    given = values.get("callbacks")
    if given is None or isinstance(given, Mapping):
        values["callbacks"] = {**copy.deepcopy(DEFAULT_CALLBACKS), **(given or {})}
    return check(values, composed.origins, allowed)


def build(composed: Composed, values: dict[str, Any], prepare: Callable[[RecipeCLI], None]) -> RecipeCLI:
    """The objects of a checked recipe; whatever the parser or a constructor refuses becomes one line."""
    try:
        return RecipeCLI(values, prepare)
    except (UserError, Printed, SystemExit, OSError):
        raise
    except Exception as error:
        raise UserError(explain(error, composed.origins, values)) from error


class Printed(Exception):  # noqa: N818 - no error: the resolved recipe was printed, and nothing is to be built
    """Ends a run that was only asked for its recipe."""


def _fit(request: RunRequest) -> int:
    values = check_recipe(request.composed, request.allow_code)
    resume_from = None if request.checkpoint is None else find_checkpoint(request.checkpoint)
    folder: RunFolder | None = None

    def prepare(cli: RecipeCLI) -> None:
        nonlocal folder
        _print_if_asked(request, cli)
        folder = create_run_folder(request.runs_dir, request.name, request.run_dir)
        cli.trainer_overrides["default_root_dir"] = str(folder.path)
        name = f"{folder.name}-{folder.run_id}"
        cli.logger_overrides |= {"save_dir": str(folder.path), "id": folder.run_id, "name": name}
        if folder.is_ours:
            folder.recipe.write_text(cli.resolved, encoding="utf-8")
            write_provenance(folder, seed=cli.config.seed_everything)
        cli.trainer_overrides["callbacks"] = [start]

    start = _Start()
    cli: RecipeCLI | None = None
    try:
        cli = build(request.composed, values, prepare)
        start.recipe = yaml.safe_load(cli.resolved)
        with reading(resume_from):
            cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=resume_from, weights_only=True)
        metrics = _results(request, cli)
    except BaseException as error:
        _finish_trackers(cli, exit_code=getattr(error, "exit_code", 1))
        if isinstance(error, UserError) and folder is not None and not start.happened:
            discard_run_folder(folder)
        raise
    _finish_trackers(cli, exit_code=0)
    assert folder is not None
    if cli.trainer.is_global_zero:
        print(*result_lines(folder, metrics, trainer=cli.trainer, monitor=_monitor(cli.model)), sep="\n")
    return 0


def _results(request: RunRequest, cli: RecipeCLI) -> dict[str, float]:
    """The last scores of training and, if asked for, those of the best snapshot on the test split."""
    metrics = {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
    if request.test_after_fit:
        best = _best_checkpoint(cli.trainer)
        results = cli.trainer.test(
            cli.model, datamodule=cli.datamodule, ckpt_path=best, verbose=False, weights_only=True
        )
        metrics |= {name: float(value) for name, value in results[0].items()}
    return metrics


def _finish_trackers(cli: RecipeCLI | None, *, exit_code: int) -> None:
    for logger in cli.trainer.loggers if cli is not None else ():
        if isinstance(logger, WandbTracker):
            logger.finish(exit_code)


class _Start(pl.Callback):
    """Tells whether training ever started, after every check; records the recipe with the trackers then."""

    def __init__(self) -> None:
        self.recipe: dict[str, Any] = {}
        self.happened = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.happened = True
        for logger in trainer.loggers:
            logger.log_hyperparams(self.recipe)


def _print_if_asked(request: RunRequest, cli: RecipeCLI) -> None:
    if request.print_config:
        print(cli.resolved, end="")
        raise Printed


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
        _print_if_asked(request, cli)
        if home is None:
            home = create_run_folder(request.runs_dir, request.name, None).path
        cli.trainer_overrides["default_root_dir"] = str(home)

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
    with reading(checkpoint):
        batches = cli.trainer.predict(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    path = home / "predictions.csv"
    count = write_predictions(path, batches or [], task=task, data=data)
    if cli.trainer.is_global_zero:
        print(f"{count} predictions of {checkpoint} in {path}")
    return 0


def _best_checkpoint(trainer: pl.Trainer) -> str | None:
    """The best snapshot, else the last one, else None: the weights as training left them."""
    callback = trainer.checkpoint_callback
    best = getattr(callback, "best_model_path", "") or getattr(callback, "last_model_path", "")
    return best or None


def _monitor(task: pl.LightningModule) -> str | None:
    return task.monitor if is_trainable_task(task) else None
