"""How many trials a minute does a sweep run, forked from a warm process and with a fresh interpreter each?

`python -m benchmarks.bench_sweep [URL]`: with the URL of a PostgreSQL its lines are printed too.
"""

import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.recipe.compose import Composed
from lightning_cv.sweep import trial as trial_module
from lightning_cv.sweep.board import Board
from lightning_cv.sweep.command import command_words
from lightning_cv.sweep.execute import Workers, execute
from lightning_cv.sweep.file import read_sweep
from lightning_cv.sweep.session import begin_study

WORKERS = 2
ROUNDS = 3
# One optimizer step and one batch of validation: what is left is what a trial costs.
SWEEP = """\
recipe: digits_mlp
objective: {{metric: val/loss, mode: min}}
trials: {trials}
fixed:
  trainer: {{max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, num_sanity_val_steps: 0, logger: {logger}}}
space:
  model.init_args.optimizer.init_args.lr: {{log_uniform: [1.0e-4, 1.0e-1]}}
"""


def _fresh(recipe: Composed, folder: Path, name: str, *, allow_code: tuple[str, ...]) -> tuple[list[str], None]:
    """The command of a trial for a new interpreter."""
    words, _ = command_words(recipe, folder, name, allow_code=allow_code)
    return [sys.executable, "-P", "-m", "lightning_cv", *words[1:]], None


def _trials_a_minute(*, fresh: bool, trials: int, url: str | None, logger: str) -> float:
    """From the end of the first trial to that of the last, so that the start of the warm process does not count."""
    setattr(trial_module, "command_words", _fresh if fresh else command_words)  # noqa: B010 - for every trial
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        file = Path(name) / f"bench-{uuid.uuid4().hex[:8]}.yaml"
        file.write_text(SWEEP.format(trials=trials, logger=logger))
        place = begin_study(read_sweep(file, storage=url), Path(name) / "runs")
        board = Board(place.sweep, Console(file=nowhere), workers=WORKERS)
        execute(place, Workers(number=WORKERS), board)
        assert all(trial.state.name == "COMPLETE" for trial in place.frozen())
        ends = sorted(trial.datetime_complete for trial in place.frozen() if trial.datetime_complete)
    return 60 * (len(ends) - 1) / (ends[-1] - ends[0]).total_seconds()


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["WANDB_MODE"] = "offline"
    storages: dict[str, str | None] = {"journal": None}
    if arguments:
        storages["PostgreSQL"] = arguments[0]
    ways: dict[str, Callable[[], float]] = {
        f"{start}, {where}{', W&B offline' if logger == 'true' else ''}": partial(
            _trials_a_minute, fresh=start.startswith("fresh"), trials=trials, url=url, logger=logger
        )
        for where, url in storages.items()
        for start, trials, logger in (
            ("fresh interpreter each", 6, "false"),
            ("warm fork", 60, "false"),
            ("fresh interpreter each", 6, "true"),
            ("warm fork", 60, "true"),
        )
    }
    measured = interleaved(ways, rounds=ROUNDS)
    rows = []
    for name, rates in measured.items():
        base = measured[name.replace("warm fork", "fresh interpreter each")]
        rows.append((name, f"{statistics.median(rates):.0f}", f"{median_ratio(rates, base):.1f} ×"))
    how = (
        f"`lightning-cv fit` of one optimizer step and one batch of validation, {WORKERS} workers, medians of {ROUNDS} "
        "interleaved rounds, from the end of the first trial to that of the last."
    )
    print_table("Sweep", ("trials", "a minute", "× fresh interpreter"), rows, how=how)


if __name__ == "__main__":
    main(sys.argv[1:])
