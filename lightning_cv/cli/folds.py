"""How well does a recipe do on data that it did not train on, whichever part that is? (`fit --folds K`)"""

import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_cv.cli.options import Line, read_line
from lightning_cv.cli.program import read_request
from lightning_cv.errors import UserError
from lightning_cv.record.progress import FILE_NAME, read_progress

_MOST_FOLDS = 1000
_EXCLUDED = ("--resume", "--run-dir", "--ckpt", "--print_config")


def is_cross_validation(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for folds."""
    return any(argument == "--folds" or argument.startswith("--folds=") for argument in arguments)


def run_folds(arguments: Sequence[str]) -> int:
    """Train a recipe once for each fold, each run a program of its own; then print mean ± standard deviation (row 18).

    The runs lie beside one another in `<runs-dir>/<name>-<K>-folds/fold-<number>`. The same command again goes on with
    those that did not end, and repeats none that did.

    Returns:
        0, or the exit status of the first run that failed or was stopped.

    Raises:
        UserError: the number of folds, an option that does not go with it, or a mistake in the recipe.
    """
    line = read_line("fit", arguments)
    number = _number(line)
    request = read_request("fit", line)
    folder = request.runs_dir / f"{request.name}-{number}-folds"
    rest = _without_folds(arguments)
    runs = [folder / f"fold-{fold}" for fold in range(number)]
    for fold, run in enumerate(runs):
        if _has_ended(run):
            print(f"fold      {fold} of {number} has ended before: {run}", file=sys.stderr)
            continue
        print(f"fold      {fold} of {number}: {run}", file=sys.stderr)
        words = [*rest, f"--data.init_args.fold.of={number}", f"--data.init_args.fold.number={fold}"]
        words += [f"--run-dir={run}", f"--name={folder.name}"]
        status = _train(words)
        if status:
            go_on = shlex.join(["lightning-cv", "fit", *arguments])
            print(f"fold {fold} of {number} did not end; go on with: {go_on}", file=sys.stderr)
            return status if status > 0 else 128 - status
    print(*fold_lines([_scores(run) for run in runs]), f"runs      {folder}", sep="\n")
    print(f"look      lightning-cv compare {shlex.quote(str(folder))}")
    return 0


def fold_lines(scores: Sequence[Mapping[str, float]]) -> list[str]:
    """One line a metric that all folds have: mean ± standard deviation over the folds, then the value of each."""
    shared = [name for name in scores[0] if all(name in other for other in scores)]
    width = max((len(name) for name in shared), default=0)
    lines = []
    for name in shared:
        values = [fold[name] for fold in scores]
        each = " ".join(f"{value:.4f}" for value in values)
        lines.append(f"{name:<{width}}  {statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}  ({each})")
    return lines


def _train(words: Sequence[str]) -> int:
    """Run `lightning-cv fit` as a program of its own, which may start further processes; returns its exit status."""
    return subprocess.run([sys.executable, "-m", "lightning_cv", "fit", *words], check=False).returncode  # noqa: S603 - the user's own words, no shell


def _number(line: Line) -> int:
    text = line.settings.get("--folds", "")
    if not (text.isascii() and text.isdecimal() and 2 <= int(text) <= _MOST_FOLDS):
        raise UserError(f"--folds {text:.40}: give a number of folds, 2 to {_MOST_FOLDS}")
    for option in _EXCLUDED:
        if option in line.settings:
            raise UserError(f"--folds and {option} exclude each other: each fold is a new run in a folder of its own")
    if any(path.startswith("data.init_args.fold") for path, _ in line.overrides):
        raise UserError("--folds sets data.init_args.fold itself; leave one of them out")
    return int(text)


def _without_folds(arguments: Sequence[str]) -> list[str]:
    """The command line without `--folds` and `--name`, which every run gets from here."""
    rest, words = [], list(arguments)
    while words:
        word = words.pop(0)
        if word in ("--folds", "--name"):
            words.pop(0)
        elif not word.startswith(("--folds=", "--name=")):
            rest.append(word)
    return rest


def _has_ended(run: Path) -> bool:
    if not (run / FILE_NAME).is_file():
        return False
    events = read_progress(run / FILE_NAME)
    return any(event["event"] == "end" and event.get("status") == "completed" for event in events)


def _scores(run: Path) -> dict[str, float]:
    """The last scores of validation and test that a run recorded."""
    found: dict[str, float] = {}
    for event in read_progress(run / FILE_NAME):
        if event["event"] in ("end", "test"):
            found |= {name: value for name, value in event["metrics"].items() if name.startswith(("val/", "test/"))}
    return dict(sorted(found.items(), key=lambda item: not item[0].startswith("val/")))
