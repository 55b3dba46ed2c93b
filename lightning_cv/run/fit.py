"""What happens between `lightning-cv fit` and its result: a new run, or one that goes on?"""

import os
import signal
import sys
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from lightning_cv.callbacks import Progress, Snapshot
from lightning_cv.callbacks.checkpoint_io import wait_until_written
from lightning_cv.contracts import is_trainable_task
from lightning_cv.errors import DONE, PREEMPTED, Preempted, UserError
from lightning_cv.networks.saved_part import weights_are_replaced
from lightning_cv.recipe.request import RunRequest
from lightning_cv.record.progress import read_progress
from lightning_cv.record.trial import TrialNote, read_trial_note
from lightning_cv.run.batch.finder import with_found_batch
from lightning_cv.run.batch_line import BatchLine
from lightning_cv.run.begin import begin
from lightning_cv.run.build import build, check_recipe, print_if_asked
from lightning_cv.run.checkpoints import find_checkpoint, reading
from lightning_cv.run.cli import DEFAULT_LOGGER, RecipeCLI
from lightning_cv.run.course import course_sha256
from lightning_cv.run.echo import Echo
from lightning_cv.run.folder import RunFolder, discard_run_folder
from lightning_cv.run.lock import RunLock
from lightning_cv.run.processes.launched import told_rank
from lightning_cv.run.processes.together import Together
from lightning_cv.run.provenance import add_training
from lightning_cv.run.result import result_lines
from lightning_cv.run.resume import Resume
from lightning_cv.run.stop import StopOnSignal, StopSignals, is_launched_by_lightning, stop_signals
from lightning_cv.tracking import WandbTracker


def fit(request: RunRequest) -> int:
    """Train; returns the exit status.

    Raises:
        UserError: anything that a user can mend, in one line.
        Preempted: a signal stopped training; what there was to save is saved.
    """
    with stop_signals() as signals:
        training = _Training(request, signals)
        try:
            return training.run()
        except Preempted as stopped:
            training.together.stop(stopped)
            training.discard_unstarted(stopped)
            if is_launched_by_lightning():
                if not stopped.agreed:
                    os.kill(os.getppid(), signal.SIGTERM)  # the first process, which waits for this one
                return DONE  # the first process tells
            if stopped.agreed and (told_rank() or (0, 1))[0] > 0:
                return PREEMPTED  # the same, where srun or torchrun started this one
            raise Preempted(f"{stopped}{training.how_to_go_on}", agreed=stopped.agreed) from None
        except Exception as error:
            try:
                return training.together.end(error)
            finally:
                training.discard_unstarted(error)


class _Training:
    """One `fit` from its request to its result."""

    def __init__(self, request: RunRequest, signals: StopSignals) -> None:
        self._request = request
        self._folder: RunFolder | None = None
        self._lock: RunLock | None = None
        self._resume: Resume | None = None
        self._cli: RecipeCLI | None = None
        self._while_building = ExitStack()
        self.together = Together(signals)
        self._start = _Start(signals)
        self._stop = StopOnSignal(signals)

    @property
    def how_to_go_on(self) -> str:
        """What a stopped run tells its user."""
        if self._folder is None or not self._start.happened:
            return ""
        return f"; go on with: lightning-cv fit --resume {self._folder.path}"

    def run(self) -> int:
        """Train, and print the result."""
        request = self._request = with_found_batch(self._request)
        values = check_recipe(request.composed, request.allow_code)
        checkpoint = None if request.checkpoint is None else find_checkpoint(request.checkpoint)
        try:
            with self._while_building:
                cli = self._cli = build(request.composed, values, self._prepare)
            self._connect(cli)
            if self._resume is not None:
                checkpoint = self._resume.checkpoint
            with reading(checkpoint):
                cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
            metrics = self._results(cli)
            self.together.finish()
        except BaseException as error:
            self._finish_trackers(exit_code=getattr(error, "exit_code", 1))
            if isinstance(error, Preempted) and not error.agreed:
                self._stop_others()
            raise
        finally:
            if self._lock is not None:
                self._lock.release()
        self._finish_trackers(exit_code=0)
        assert self._folder is not None
        if cli.trainer.is_global_zero:
            monitor = cli.model.monitor if is_trainable_task(cli.model) else None
            print(*result_lines(self._folder, metrics, trainer=cli.trainer, monitor=monitor), sep="\n")
        return 0

    def discard_unstarted(self, error: BaseException) -> None:
        """Leave no folder of a run that was refused before it started."""
        if isinstance(error, UserError | Preempted) and self._folder is not None and not self._start.happened:
            discard_run_folder(self._folder)

    def _prepare(self, cli: RecipeCLI) -> None:
        """Make or open the run's folder, when the recipe is complete and before anything is built."""
        request = self._request
        print_if_asked(request, cli)
        resolved = cli.resolved
        begun = begin(request, resolved)
        self._folder, self._resume, self._lock = begun.folder, begun.resume, begun.lock
        if begun.resume is not None and begun.resume.checkpoint is not None:
            self._while_building.enter_context(weights_are_replaced())
        folder, recipe = begun.folder, yaml.safe_load(resolved)
        self.together.join(folder.path)
        self._start.recipe = recipe
        self._start.folder = folder
        self._start.trial = read_trial_note(folder.path)
        cli.trainer_overrides["default_root_dir"] = str(folder.path)
        cli.trainer_overrides["callbacks"] = [BatchLine(), self._start, *self.together.callbacks, self._stop]
        _introduce(cli, folder, trial=self._start.trial)

    def _connect(self, cli: RecipeCLI) -> None:
        """Tell the snapshots and the trackers which run this is, and where it goes on."""
        assert self._folder is not None
        self.together.begin(cli.trainer, self._folder.path, hurry=self._end_in_a_hurry)
        identity = {"id": self._folder.run_id, "recipe_sha256": course_sha256(self._start.recipe)}
        for callback in cli.trainer.checkpoint_callbacks:
            if isinstance(callback, Snapshot):
                callback.run = identity
        # Behind every snapshot, see StopOnSignal; Lightning keeps the order among callbacks that save.
        callbacks: list[pl.Callback] = cli.trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        callbacks.append(callbacks.pop(callbacks.index(self._stop)))
        if self._start.trial is not None:
            callbacks.append(Echo(self._start.trial, cli.config_init.callbacks, self._folder.path))
        for tracker in self._trackers():
            if is_trainable_task(cli.model):
                tracker.watch_metric(cli.model.monitor, cli.model.mode)
            if self._resume is not None:
                tracker.resume(self._resume.step, self._resume.points)
        if self._resume is not None and cli.trainer.is_global_zero:
            print(f"resume    {self._folder.path} at step {self._resume.step}", file=sys.stderr)

    def _results(self, cli: RecipeCLI) -> dict[str, float]:
        """The last scores of training and, if asked for, those of the best snapshot on the test split."""
        assert self._folder is not None
        metrics = _last_metrics(self._folder) if self._resume is not None else {}
        metrics |= {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
        if self._request.test_after_fit:
            best = best_checkpoint(cli.trainer)
            results = cli.trainer.test(
                cli.model, datamodule=cli.datamodule, ckpt_path=best, verbose=False, weights_only=True
            )
            metrics |= {name: float(value) for name, value in results[0].items()}
        return metrics

    def _end_in_a_hurry(self, error: BaseException) -> None:
        """Write down how training ended, while its thread waits for a process that has gone."""
        assert self._cli is not None
        for callback in self._cli.trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
            if isinstance(callback, Progress):
                callback.on_exception(self._cli.trainer, self._cli.model, error)
        self._finish_trackers(exit_code=getattr(error, "exit_code", 1))
        wait_until_written(self._cli.trainer)
        self.discard_unstarted(error)

    def _stop_others(self) -> None:
        """End the processes that this one started: they would wait for it for ever."""
        launcher = self._cli.trainer.strategy.launcher if self._cli is not None else None
        if isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGKILL)

    def _trackers(self) -> list[WandbTracker]:
        loggers = self._cli.trainer.loggers if self._cli is not None else []
        return [logger for logger in loggers if isinstance(logger, WandbTracker)]

    def _finish_trackers(self, *, exit_code: int) -> None:
        for tracker in self._trackers():
            tracker.finish(exit_code)


class _Start(pl.Callback):
    """Tells whether training ever started, after every check; records then what is trained on what."""

    def __init__(self, signals: StopSignals) -> None:
        self.recipe: dict[str, Any] = {}
        self.folder: RunFolder | None = None
        self.trial: TrialNote | None = None
        self.happened = False
        self._signals = signals

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.happened = True
        trial = {"trial": {"study": self.trial.study, "number": self.trial.number}} if self.trial else {}
        for logger in trainer.loggers:
            logger.log_hyperparams({**self.recipe, **trial})
        if self.folder is not None and self.folder.is_ours:
            add_training(self.folder, trainer, pl_module)


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """The best snapshot, else the last one, else None: the weights as training left them."""
    callback = trainer.checkpoint_callback
    best = getattr(callback, "best_model_path", "") or getattr(callback, "last_model_path", "")
    return best or None


def _introduce(cli: RecipeCLI, folder: RunFolder, *, trial: TrialNote | None) -> None:
    """Tell the tracker which run this is, as far as the recipe does not; a trial is always one of its study."""
    group, job_type = (trial.study, trial.job_type) if trial else (folder.name, "fit")
    identity = {"id": folder.run_id, "name": f"{group}-{folder.run_id}", "group": group, "job_type": job_type}
    cli.logger_overrides |= {"save_dir": str(folder.path), **identity}
    logger = cli.config.trainer.logger
    if trial and getattr(logger, "class_path", None) == DEFAULT_LOGGER["class_path"]:
        for name in identity:
            logger.init_args[name] = None  # else all trials would be the one run that the recipe names


def _last_metrics(folder: RunFolder) -> dict[str, float]:
    """What a run that had ended already found at last."""
    if not folder.progress.is_file():
        return {}
    events = read_progress(folder.progress)
    return next((dict(event["metrics"]) for event in reversed(events) if event["event"] == "end"), {})
