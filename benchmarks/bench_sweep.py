"""How many trials a minute does a sweep run whose trainings do next to nothing?

Each measurement is one sweep with two workers over a perceptron that trains one batch and validates one: what remains
is what every trial costs. A fresh interpreter for each trial is the same engine told to execute each command in a new
process; forked from the warm process is what it does with trials on one device. The rate is that between the second
end of a trial and the last, so that the start of the warm process, which the table gives too, is not in it.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.engine.board import Board
from lightning_cv.sweep.engine.command import command_words
from lightning_cv.sweep.engine.execute import Workers, execute
from lightning_cv.sweep.engine.session import begin_study
from lightning_cv.sweep.engine.study import StudyPlace
from tests.sweep.postgres import Postgres, running

ROUNDS = 3
WORKERS = 2
SWEEP = """\
recipe: digits_mlp
objective: {metric: val/loss, mode: min}
trials: %d
fixed:
  trainer:
    max_epochs: 1
    limit_train_batches: 1
    limit_val_batches: 1
    num_sanity_val_steps: 0
    accelerator: cpu
  callbacks.early_stopping: null
space:
  model.init_args.optimizer.init_args.lr: {log_uniform: [1.0e-4, 1.0e-1]}
"""


@dataclass(frozen=True)
class Way:
    """One way to run the sweep.

    Args:
        fresh: whether each trial gets a new interpreter.
        storage: URL of a database; None: a journal.
        wandb: W&B's mode.
        first_ends_s: when the first trial had ended, of each sweep so far.
    """

    fresh: bool
    storage: str | None
    wandb: str
    first_ends_s: list[float] = field(default_factory=list)

    @property
    def trials(self) -> int:
        """How many a sweep has."""
        return 6 if self.fresh else 40

    def measure(self) -> float:
        """Trials a minute of one sweep."""
        os.environ["WANDB_MODE"] = self.wandb
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            place = _begin(Path(name), self.trials, self.storage)
            began_s = time.time()
            if self.fresh:
                with _starting(_fresh_words), patch("lightning_cv.sweep.engine.execute.modules_of", lambda *_: []):
                    _run(place, WORKERS)
            else:
                _run(place, WORKERS)
            assert {trial.state for trial in place.results().trials} == {"complete"}
            ends_s = sorted(t.datetime_complete.timestamp() for t in place.frozen() if t.datetime_complete)
        self.first_ends_s.append(ends_s[0] - began_s)
        return 60 * (len(ends_s) - WORKERS) / (ends_s[-1] - ends_s[WORKERS - 1])

    def row(self, rates: Sequence[float], fresh_rates: Sequence[float]) -> Sequence[str]:
        """Of the table."""
        return (
            "fresh interpreter each" if self.fresh else "forked from a warm process",
            "PostgreSQL" if self.storage else "journal",
            self.wandb,
            f"{statistics.median(rates):.0f}",
            f"{median_ratio(rates, fresh_rates):.1f}",
            f"{statistics.median(self.first_ends_s):.1f}",
        )


def _begin(folder: Path, trials: int, storage: str | None) -> StudyPlace:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP % trials)
    return begin_study(read_sweep(path, name=f"bench-{folder.name}", storage=storage), folder)


def _run(place: StudyPlace, workers: int) -> None:
    with Path(os.devnull).open("w") as nowhere:
        execute(place, Workers(number=workers), Board(place.sweep, Console(file=nowhere), workers=workers))


def _starting(words: Any) -> Any:
    """A context in which trials are started by other words."""
    return patch("lightning_cv.sweep.engine.trial.command_words", words)


def _fresh_words(*trial: Any, allow_code: tuple[str, ...]) -> tuple[list[str], None]:
    words, _ = command_words(*trial, allow_code=allow_code)
    return [sys.executable, "-P", "-m", "lightning_cv", *words[1:]], None


def compare(server: Postgres | None) -> None:
    """Print the table of rates."""
    kinds: list[tuple[str | None, str]] = [(None, "disabled"), (None, "offline")]
    if server is not None:
        kinds.append((server.url, "disabled"))
    pairs = [(Way(True, *kind), Way(False, *kind)) for kind in kinds]
    ways = {f"{index} {way.fresh}": way for index, pair in enumerate(pairs) for way in pair}
    rates = interleaved({name: way.measure for name, way in ways.items()}, rounds=ROUNDS)
    rows = [way.row(rates[name], rates[f"{name.split()[0]} True"]) for name, way in ways.items()]
    how = (
        f"{WORKERS} workers; 6 and 40 trials a sweep, of one training batch and one of validation each; medians of"
        f" {ROUNDS} interleaved rounds, ratios taken round by round."
    )
    header = ("a trial is", "study in", "W&B", "trials/min", "× fresh", "first trial ended after, s")
    print_table("Trials a minute of a sweep", header, rows, how=how)


def profiled(words: list[str]) -> int:
    """In a fork, in the place of the command: train, and write down where the time went."""
    from lightning_cv.cli.main import main as train

    profile = cProfile.Profile(time.process_time)
    status = profile.runcall(train, words)
    profile.dump_stats(Path(words[words.index("--run-dir") + 1]) / "profile")
    return status


def show_profile(lines: int, *, trials: int = 20) -> None:
    """Print where the CPU time of the last of some forked trials goes, when everything has been imported."""

    def words_of(*trial: Any, allow_code: tuple[str, ...]) -> tuple[list[str], str]:
        return command_words(*trial, allow_code=allow_code)[0], "benchmarks.bench_sweep:profiled"

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        place = _begin(Path(name), trials, None)
        with _starting(words_of):
            _run(place, 1)
        profile = place.folder / place.run_name(trials - 1) / "profile"
        pstats.Stats(str(profile)).sort_stats("cumulative").print_stats(lines)


def main() -> None:
    """Print the table; with `--profile LINES` where the time of a forked trial goes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ |= {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    if "--profile" in sys.argv:
        os.environ["WANDB_MODE"] = "disabled"
        show_profile(int(sys.argv[-1]))
        return
    with running() as server:
        compare(server)


if __name__ == "__main__":
    main()
