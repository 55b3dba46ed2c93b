"""What would a sweep do? Its trials, their commands, and how long it may take."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_cv.compare.run import duration
from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.space import Value
from lightning_cv.sweep.definition.file import trial_recipe
from lightning_cv.sweep.definition.options import PLANNED
from lightning_cv.sweep.definition.samplers import make_sampler, suggest
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.command import command_words
from lightning_cv.sweep.engine.probe import Estimate, probe


def print_plan(console: Console, sweep: Sweep, runs_dir: Path, *, workers: int, allow_code: Sequence[str]) -> None:
    """Print the trials, the recipe and the command of the first, and an estimate from a short training of it.

    Trials of a sampler that learns from what was found are known only as far as they are drawn without that: one.

    Raises:
        UserError: the first trial cannot train.
    """
    number = sweep.num_trials
    planned = bool(sweep.listed) or sweep.sampler.name in PLANNED
    trials = first_trials(sweep, number if planned else 1)
    _print_trials(console, sweep, trials)
    if not planned:
        console.print(f"... and {number - 1} more, which {sweep.sampler.name} draws from what was found until then")
    recipe = trial_recipe(sweep, trials[0])
    folder = runs_dir / sweep.name / "trial-000-..."
    words, _ = command_words(recipe, folder, sweep.name, allow_code=tuple(allow_code))
    console.print(f"\ntrial.yaml of trial 0, run with {shlex.join(words)}:\n", soft_wrap=True)
    console.print(Text(yaml.safe_dump(recipe.values, sort_keys=False)), soft_wrap=True)
    console.print(Text("a short training of trial 0 ...", style="dim"))
    estimate = probe(sweep, recipe, trials[0], allow_code=tuple(allow_code))
    for line in _say(estimate, number, workers):
        console.print(line, soft_wrap=True)
    console.print(f"the study would be in {display_path(runs_dir / sweep.name)}")


def first_trials(sweep: Sweep, number: int) -> list[dict[str, Value]]:
    """The values of the first trials, as a study without any result draws them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * len(sweep.objectives))
    found = []
    for trial in range(number):
        study.sampler = make_sampler(sweep, trial)
        found.append(suggest(study.ask(), sweep))
    return found


def _print_trials(console: Console, sweep: Sweep, trials: Sequence[dict[str, Value]]) -> None:
    names = short_names(sweep.space.paths)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("trial", *names.values()):
        table.add_column(title, overflow="fold", justify="right")
    for trial, values in enumerate(trials):
        table.add_row(str(trial), *(short_value(values[path]) if path in values else "" for path in names))
    console.print(table)


def _say(estimate: Estimate, number: int, workers: int) -> list[str]:
    trial_s = estimate.trial_s
    steps = "without end" if estimate.total_steps is None else f"of {estimate.total_steps}"
    measured = (
        f"{estimate.steps} steps {steps}, {estimate.step_s * 1000:.3g} ms each, {estimate.start_s:.2g} s to start"
    )
    if trial_s is None:
        return [f"measured: {measured}", "no estimate: set trainer.max_epochs or trainer.max_steps"]
    rounds = -(-number // workers)
    total = duration(rounds * trial_s)
    return [
        f"measured: {measured}",
        f"{number} trials of {duration(trial_s)}, {workers} at once: about {total}, if all train as long as trial 0 "
        "and the workers do not wait for one another; pruning makes it shorter",
    ]
