"""Sweeps over the fake program, run by processes that tests may kill."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.engine import execute as execute_module
from lightning_cv.sweep.engine import trial as trial_module
from lightning_cv.sweep.engine.board import Board
from lightning_cv.sweep.engine.execute import Workers, execute
from lightning_cv.sweep.engine.session import begin_study
from lightning_cv.sweep.engine.study import StudyPlace
from tests.sweep.fake_program import EPOCHS

ROOT = Path(__file__).parents[2]
LR = "model.init_args.optimizer.init_args.lr"
SWEEP = """\
recipe: digits_mlp
objective: {{metric: val/accuracy, mode: max}}
sampler: {{name: random, seed: 3}}
trials: {trials}
fixed:
  trainer: {{max_epochs: {epochs}, deed: "{deed}"}}
space:
  model.init_args.optimizer.init_args.lr: {{log_uniform: [1.0e-4, 1.0e-1]}}
{more}
"""


def write_sweep(name: str, *, trials: int, deed: str = "", epochs: int = EPOCHS, more: str = "") -> Path:
    """A sweep file in the working folder."""
    path = Path(f"{name}.yaml")
    path.write_text(SWEEP.format(trials=trials, deed=deed, epochs=epochs, more=more))
    return path


def fake_words(recipe, folder: Path, name: str, *, allow_code: tuple[str, ...]) -> tuple[list[str], str]:
    """In the place of `command_words`: the fake program."""
    words = ["lightning-cv", "fit", str(folder / "trial.yaml"), "--run-dir", str(folder), "--name", name]
    return words, "tests.sweep.fake_program:main"


def place_of(path: Path, **options) -> StudyPlace:
    """The study of a sweep file, made or gone on with."""
    return begin_study(read_sweep(path, **options), Path("runs"))


def search(path: Path, workers: int, *, warm: str = "tests.sweep.fake_program", **options) -> int:
    """Run a sweep in this process, a fork of the test's, over the fake program; ends with the status of the command."""
    with Path(f"out-{os.getpid()}.txt").open("w") as out, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", out)
        patch.setattr(trial_module, "command_words", fake_words)
        patch.setattr(execute_module, "modules_of", lambda sweep, allow_code: [warm])
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(Path.cwd())]))
        # A signal to the test's group must not end it, as a terminal's would not a command of its own.
        if os.getpid() != os.getpgid(0):
            os.setsid()
        place = place_of(path, **options)
        execute(place, Workers(number=workers), Board(place.sweep, Console(file=out), workers=workers))
    return 0


def forked(path: Path, workers: int, **options) -> Callable[[], int]:
    """For `tests.processes.fork`."""
    return lambda: search(path, workers, **options)
