"""How do processes that train together end together, with the true cause as the last line, whatever happens?"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from lightning_cv.callbacks import skip_idle_hooks
from lightning_cv.errors import Preempted, UserError
from lightning_cv.run.processes.board import Board, Words
from lightning_cv.run.processes.last_words import OtherProcessError, is_consequence, words_of
from lightning_cv.run.processes.launched import LAUNCH_VARIABLE, WatchedLauncher, launch_name, told_rank
from lightning_cv.run.processes.unused_parameters import UnusedParameters
from lightning_cv.run.processes.watch import Watch
from lightning_cv.run.resources import as_resource_error
from lightning_cv.run.stop import StopSignals

# Seconds after which a process that gives no sign of life, or does not get on with a batch, ends the training.
BOUND_VARIABLE = "LIGHTNING_CV_STALLED_AFTER_S"
BOUND_S = 600.0
FIND_S = 5.0  # that a process without a connection looks for the one that failed
HEAR_S = 6.0  # that a process that failed waits until the first one knows it
LEAVE_S = 10.0  # that the first process waits for the others at the end
HURRY_S = 3.0  # for what is left to write when the main thread cannot


class Together:
    """One process's part in a training of several; of a single process it only explains errors.

    Args:
        signals: what this process has received.
    """

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals
        self._unused = UnusedParameters()
        self._watch: Watch | None = None
        self._told: BaseException | None = None
        self._bound_s = stalled_after_s()
        self._hurry: Callable[[BaseException], None] | None = None

    @property
    def callbacks(self) -> list[Callback]:
        """What the trainer needs."""
        return [self._unused, _Begin(self)]

    def start(self) -> None:
        """Training begins."""
        if self._watch is not None:
            self._watch.standings.start()
            self._watch.board.write(standing=self._watch.standings.look())

    def join(self, folder: Path) -> None:
        """Take part as soon as the run's folder is known, where a launcher has told this process who it is."""
        told = told_rank()
        if told is not None:
            self._open(folder, *told)

    def begin(self, trainer: Trainer, folder: Path, *, hurry: Callable[[BaseException], None]) -> None:
        """Take part in what this trainer does.

        Args:
            trainer: with its devices; nothing was started yet.
            folder: of the run.
            hurry: writes what is to be written of an error where the main thread cannot; it may be cut off.
        """
        launcher = _launcher_of(trainer)
        if trainer.world_size == 1 or not isinstance(launcher, _SubprocessScriptLauncher):
            self._close(removes=True)
            return
        if self._watch is None:
            if trainer.num_nodes == 1 and not launcher.cluster_environment.creates_processes_externally:
                os.environ[LAUNCH_VARIABLE] = secrets.token_hex(8)
            self._open(folder, trainer.global_rank, trainer.world_size)
        watch = self._watch
        assert watch is not None
        self._hurry = hurry
        watch.standings.trainer = trainer
        trainer.strategy._launcher = WatchedLauncher(
            launcher, trainer.global_rank, started=self._started, failed=self.failed
        )

    def failed(self, error: BaseException) -> BaseException:
        """What to raise for an error of this process: itself, said better, or the other's that it follows from."""
        watch = self._watch
        if error is self._told or (isinstance(error, Preempted) and error.agreed):
            return error
        told = self._explained(error)
        if watch is None:
            return told
        self._signals.failing = watch.is_ending = True
        if isinstance(told, Preempted) or is_consequence(told):
            self._search(watch, give_up_s=0.0 if isinstance(told, Preempted) else FIND_S)
        own = words_of(told, watch.board.own.rank)
        cause = (watch.cause or own) if own.by_signal else watch.blame(own)
        get_error_handler().record_exception(told)  # for torchrun's summary, where there is one
        is_same = cause.said == own.said or (cause.by_signal and own.by_signal)
        self._told = told if is_same else OtherProcessError(cause)
        return self._told

    def end(self, error: Exception) -> int:
        """End this process for an error, behind all others; returns the status where another one tells the user.

        Raises:
            Exception: the error to tell.
        """
        told = self.failed(error)
        watch = self._watch
        if watch is not None and watch.cause is not None:
            tells = watch.tells or not watch.await_first(HEAR_S)
            if tells:
                watch.end_others(HEAR_S)
            status = watch.cause.status
            self._close(removes=tells)
            if not tells:
                return status
        if isinstance(told, OtherProcessError):
            sys.stderr.write(told.words.traceback)
        if told is error:
            raise error
        raise told from error

    def stop(self, stopped: Preempted) -> None:
        """Leave after a signal."""
        watch = self._watch
        if watch is None:
            return
        if stopped.agreed:
            self.finish()
            return
        watch.blame(words_of(stopped, watch.board.own.rank))
        if watch.tells:
            watch.end_others(HEAR_S)
        self._close(removes=watch.tells)

    def finish(self) -> None:
        """Say that this process has done its part; the first one waits until the others have done theirs.

        Raises:
            OtherProcessError: one of them failed.
        """
        watch = self._watch
        if watch is None:
            return
        watch.board.write(state="done")
        is_last = watch.board.own.rank == 0 and watch.await_done(LEAVE_S)
        self._close(removes=is_last)
        cause = watch.cause
        if cause is not None and not cause.by_signal:
            raise OtherProcessError(cause)

    def _open(self, folder: Path, rank: int, num_processes: int) -> None:
        own = folder / f".processes-{launch_name()}"
        for path in folder.glob(".processes-*") if rank == 0 else ():
            if path != own:
                shutil.rmtree(path, ignore_errors=True)  # of a launch that was killed
        self._watch = Watch(Board(own, rank), num_processes, bound_s=self._bound_s, end=self._end_now)
        self._watch.start()
        self._started({})

    def _started(self, children: Mapping[int, subprocess.Popen[bytes]]) -> None:
        """Look after children, by rank, and let a crash leave a trace, whose handler Lightning takes away each time."""
        assert self._watch is not None
        self._watch.children = {**self._watch.children, **children}
        self._watch.board.trace_crashes()

    def _close(self, *, removes: bool) -> None:
        watch, self._watch = self._watch, None
        if watch is None:
            return
        watch.stop()
        watch.board.close(removes=removes)
        if watch.board.own.rank == 0:
            os.environ.pop(LAUNCH_VARIABLE, None)

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, UserError) or not isinstance(error, Exception):
            return error
        return as_resource_error(error) or self._unused.explain(error) or error

    def _search(self, watch: Watch, *, give_up_s: float) -> None:
        """Look for the process whose end this one has noticed."""
        give_up_s += time.monotonic()
        while watch.cause is None:
            words = watch.find(is_lost=True)
            if words is not None and not words.is_consequence:
                watch.blame(words)
            elif time.monotonic() >= give_up_s or watch.found.wait(0.1):
                return

    def _end_now(self, words: Words, tells: bool) -> NoReturn:
        """End this process from another thread: its main thread waits for a process that is gone."""
        watch = self._watch
        if tells and watch is not None:
            watch.end_others(HURRY_S)
            watch.board.close(removes=True)
            if self._hurry is not None:
                hurry = threading.Thread(target=self._hurry, args=(OtherProcessError(words),), daemon=True)
                hurry.start()
                hurry.join(HURRY_S)
            prefix = "stopped" if words.by_signal else "error"
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.write(f"{words.traceback}{prefix}: {' '.join(words.text.split())}\n")
                sys.stderr.flush()
        os._exit(words.status)


@skip_idle_hooks
class _Begin(Callback):
    """Tells when training begins, behind a checkpoint that was restored."""

    def __init__(self, together: Together) -> None:
        self._together = together

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._together.start()


def _launcher_of(trainer: Trainer) -> object:
    """What starts the other processes, or would: sharding strategies have none where a launcher did it from outside."""
    launcher, environment = trainer.strategy.launcher, getattr(trainer.strategy, "cluster_environment", None)
    if launcher is None and environment is not None and environment.creates_processes_externally:
        return _SubprocessScriptLauncher(environment, trainer.num_devices, trainer.num_nodes)
    return launcher


def stalled_after_s() -> float:
    """The bound that the environment gives, in seconds.

    Raises:
        UserError: it is no number above 0.
    """
    given = os.environ.get(BOUND_VARIABLE, str(BOUND_S))
    try:
        bound_s = float(given)
    except ValueError:
        bound_s = 0.0
    if not bound_s > 0:
        raise UserError(f"{BOUND_VARIABLE}: {given} given, allowed: seconds above 0 (inf: never)")
    return bound_s
