"""How good are the best trials really, over fresh seeds? The best of many noisy ones flatters."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.compare.welch import LEVEL, t_quantile
from lightning_cv.errors import UserError
from lightning_cv.recipe.space import Range, Space, Value
from lightning_cv.sweep.definition.spec import Named, Sweep
from lightning_cv.sweep.engine.results import StudyResults, TrialResult

SEED = "seed_everything"
_LARGEST_SEED = 2**32 - 1  # that Lightning takes


@dataclass(frozen=True)
class Confirmed:
    """One setting, over several seeds.

    Args:
        values: the setting, by path, without the seed.
        searched: what the search found for it.
        scores: by the first objective, of the seeds that trained to their end.
        num_open: seeds that have no score: not trained yet, or failed.
    """

    values: Mapping[str, Value]
    searched: float
    scores: tuple[float, ...]
    num_open: int

    @property
    def mean(self) -> float:
        """Over the seeds; NaN without any."""
        return statistics.fmean(self.scores) if self.scores else math.nan

    @property
    def half_width(self) -> float:
        """Half of the interval that covers the true mean over seeds in 95% of such experiments; NaN for one seed.

        Student's interval, for scores that are drawn independently from a normal distribution.
        """
        number = len(self.scores)
        if number < 2:
            return math.nan
        return t_quantile((1 + LEVEL) / 2, number - 1) * statistics.stdev(self.scores) / math.sqrt(number)


def confirm_sweep(results: StudyResults, *, top: int, seeds: int, name: str | None = None) -> Sweep:
    """The sweep that trains the `top` best settings anew, each with `seeds` seeds that differ from the search's.

    Trials of one setting are taken as one. Seeds vary slowest, so that more of them only add trials at the end.

    Raises:
        UserError: no complete trial, several objectives, or a sweep that searched the seed.
    """
    sweep = results.sweep
    if len(sweep.objectives) > 1:
        raise UserError(f"confirm: {sweep.name} has {len(sweep.objectives)} objectives; it ranks trials by one only")
    if SEED in sweep.space.paths or sweep.listed:
        raise UserError(f"confirm: {sweep.name} varies {SEED} itself; give the study of a search")
    best = list(_best_of_each(results).values())[:top]
    if not best:
        raise UserError(f"confirm: {sweep.name} has no complete trial yet")
    own = sweep.composed.values.get(SEED, 0)
    first = own + 1 if isinstance(own, int) and not isinstance(own, bool) else 1
    fresh = [(first + number) % (_LARGEST_SEED + 1) for number in range(seeds)]
    listed = [{**trial.values, SEED: seed} for seed in fresh for trial in best]
    seed = Range(path=SEED, low=0, high=_LARGEST_SEED, integer=True)
    return dataclasses.replace(
        sweep,
        name=name or f"{sweep.name}-confirm",
        space=Space((*sweep.space.parameters, seed)),
        sampler=Named("random"),
        trials=None,
        pruner=None,
        listed=tuple(listed),
        path=Path(),
    )


def confirmed(results: StudyResults, searched: StudyResults) -> list[Confirmed]:
    """What a confirming study found, setting by setting, the best mean first."""
    groups: dict[str, tuple[Mapping[str, Value], list[TrialResult]]] = {}
    for trial, values in zip(results.trials, results.sweep.listed, strict=False):  # there may have been more seeds
        setting = {path: value for path, value in values.items() if path != SEED}
        groups.setdefault(_key(setting), (setting, []))[1].append(trial)
    numbers = {trial.number for trial in results.complete}
    found = {key: trial.scores[0] for key, trial in _best_of_each(searched).items() if trial.scores}
    rows = []
    for key, (values, trials) in groups.items():
        scores = tuple(trial.scores[0] for trial in trials if trial.scores and trial.number in numbers)
        rows.append(Confirmed(values, found.get(key, math.nan), scores, num_open=len(trials) - len(scores)))
    sign = -1 if results.sweep.objectives[0].mode == "max" else 1
    return sorted(rows, key=lambda row: math.inf if math.isnan(row.mean) else sign * row.mean)


def print_confirmed(console: Console, rows: Sequence[Confirmed], sweep: Sweep) -> None:
    """Print the settings with their means over seeds, and how much the search had flattered them."""
    names = short_names([path for path in sweep.space.paths if path != SEED])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in (*names.values(), "seeds", "mean ± 95%", "in the search"):
        table.add_column(title, overflow="fold", justify="right")
    for row in rows:
        half = row.half_width
        shown = f"{row.mean:.4g}" + (f" ± {half:.2g}" if math.isfinite(half) else "")
        values = [short_value(row.values[path]) if path in row.values else "" for path in names]
        flattered = " (flattered)" if _is_flattered(row, sweep) else ""
        table.add_row(*values, str(len(row.scores)), shown, f"{row.searched:.4g}{flattered}")
    objective = sweep.objectives[0]
    console.print(Text(f"{objective.metric} over fresh seeds, with the 95% interval of its mean"))
    console.print(table)
    if missing := sum(row.num_open for row in rows):
        console.print(Text(f"{missing} trainings have no score yet, or failed", style="yellow"))


def _best_of_each(results: StudyResults) -> dict[str, TrialResult]:
    """The best complete trial of each setting, the best setting first."""
    best: dict[str, TrialResult] = {}
    for trial in results.ranked():
        best.setdefault(_key(trial.values), trial)
    return best


def _key(values: Mapping[str, Value]) -> str:
    """The same text for the same setting; unlike their values, those of True and 1 differ."""
    return repr(sorted(values.items()))


def _is_flattered(row: Confirmed, sweep: Sweep) -> bool:
    """Whether the search's score lies outside of what the seeds say, on the better side."""
    better = row.searched - row.mean if sweep.objectives[0].mode == "max" else row.mean - row.searched
    return len(row.scores) > 1 and better > row.half_width
