"""What must a person know beside the table of trials: what came out, and how far it can be trusted?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.run import duration
from lightning_cv.compare.settings import short_names, short_value
from lightning_cv.recipe.space import Range
from lightning_cv.sweep.definition.spec import Objective
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.importance import importances

STATES = ("complete", "pruned", "failed", "running", "waiting")

_EDGE = 0.05  # of a range: nearer to an end of it than this is at its edge
_WIDENED = 0.5  # of a range: by how much a wider one is longer, and
_WIDENED_FACTOR = 10.0  # how much at most in a logarithmic one
_FEW = 8  # complete trials; of as many random ones none lies in the best quarter of the space one time in ten
_FLATTERS = 5  # complete trials, from which on the best one is mostly the luckiest
_SHOWN = 10  # trials of the front that are named


def facts(results: StudyResults) -> list[str]:
    """How many trials there are of each state, what the best is, what decided it; each one line."""
    lines = [_counts(results)]
    if results.complete:
        lines += _front(results) if len(results.sweep.objectives) > 1 else [_best(results)]
    names = short_names(results.sweep.space.paths)
    if found := importances(results):
        said = ", ".join(f"{names[path]} {share:.0%}" for path, share in found.items())
        lines.append(f"importance: {said} (PED-ANOVA, {len(results.complete)} trials)")
    return lines


def warnings(results: StudyResults) -> list[str]:
    """What is not to be trusted as it stands, and what to do about it; each one line."""
    sweep, number = results.sweep, len(results.complete)
    lines = []
    if number and not sweep.listed and number < _FEW:
        missed = 0.75**number
        lines.append(
            f"{plural(number, 'complete trial')} only: of {number} random ones none lies in the best quarter of the"
            f" space with probability {missed:.0%}"
        )
    if len(sweep.objectives) == 1 and not sweep.listed and number:
        lines += _edges(results)
        if number >= _FLATTERS:
            lines.append(
                f"the best of {number} noisy trials flatters: lightning-cv sweep confirm {sweep.name} runs the best"
                " ones again with fresh seeds"
            )
    return lines


def values_text(trial: TrialResult, paths: Sequence[str]) -> str:
    """What a trial was told to use: `optimizer.lr 0.003, network resnet`."""
    names = short_names(paths)
    return ", ".join(f"{names[path]} {value_text(trial.values[path])}" for path in paths if path in trial.values)


def value_text(value: Any) -> str:
    """A value of a parameter, to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else short_value(value)


def scores_text(trial: TrialResult, objectives: Sequence[Objective]) -> str:
    """`val/accuracy 0.98, run/parameters 12000`."""
    pairs = zip(objectives, trial.scores or (), strict=True)
    return ", ".join(f"{objective.metric} {score_text(score)}" for objective, score in pairs)


def score_text(value: float) -> str:
    """A score to six digits, or more where it is a large count."""
    return f"{value:.0f}" if 1e5 <= abs(value) < 1e15 else short_value(value)


def title(objective: Objective) -> str:
    """Its metric with an arrow that says whether more or less is better."""
    return f"{objective.metric} {Metric(objective.metric, objective.mode).arrow}"


def _counts(results: StudyResults) -> str:
    states = [trial.state for trial in results.trials]
    counts = [f"{states.count(state)} {state}" for state in STATES if state in states]
    planned = max(results.sweep.trials or 0, len(states))
    if planned > len(states):
        counts.append(f"{planned - len(states)} not begun")
    spent = sum(trial.time_s or 0 for trial in results.trials)
    return f"{plural(planned, 'trial')}: {', '.join(counts) or 'none'}" + (
        f"; {duration(spent)} in all" if spent else ""
    )


def _best(results: StudyResults) -> str:
    trial = results.ranked()[0]
    values = values_text(trial, results.sweep.space.paths)
    folder = f"; {trial.folder}" if trial.folder else ""
    return f"best: trial {trial.number}, {scores_text(trial, results.sweep.objectives)} ({values}){folder}"


def _front(results: StudyResults) -> Iterator[str]:
    front = results.front()
    yield f"Pareto front: {plural(len(front), 'trial')} that no other beats in every objective"
    for trial in front[:_SHOWN]:
        values = values_text(trial, results.sweep.space.paths)
        yield f"  trial {trial.number}: {scores_text(trial, results.sweep.objectives)} ({values})"
    if len(front) > _SHOWN:
        yield f"  and {len(front) - _SHOWN} more"


def _edges(results: StudyResults) -> Iterator[str]:
    """Ranges at whose ends the best trial lies."""
    best = results.ranked()[0]
    names = short_names(results.sweep.space.paths)
    for parameter in results.sweep.space.parameters:
        value = best.values.get(parameter.path)
        if not isinstance(parameter, Range) or not isinstance(value, int | float):
            continue
        place = parameter.unit(value)
        for end, at_edge in (("lower", place <= _EDGE), ("upper", place >= 1 - _EDGE)):
            wider = _widened(parameter, upper=end == "upper")
            if at_edge and wider is not None:
                yield (
                    f"the best trial lies at the {end} end of {names[parameter.path]} ({value_text(value)} of"
                    f" {value_text(parameter.low)} to {value_text(parameter.high)}): widen it, for example to"
                    f" {parameter.kind}: {wider}"
                )


def _widened(parameter: Range, *, upper: bool) -> str | None:
    """Bounds half as wide again at one end; None where that end is a natural one: 0 or 1 of a linear range."""
    low, high = parameter.low, parameter.high
    if parameter.log:
        factor = min((high / low) ** _WIDENED, _WIDENED_FACTOR)
        new = high * factor if upper else low / factor
    else:
        if (high if upper else low) in (0, 1):
            return None
        step = (high - low) * _WIDENED
        new = high + step if upper else low - step
        # What was never negative, or never more than 1, most often cannot be.
        new = min(new, 1.0) if upper and high < 1 else (max(new, 0.0) if not upper and low > 0 else new)
    if parameter.integer:
        new = max(1, round(new)) if parameter.log else round(new)
        if new in (low, high):
            return None
    ends = (low, new) if upper else (new, high)
    return "[" + ", ".join(f"{end:.2g}" if end == new and not parameter.integer else f"{end:g}" for end in ends) + "]"


def plural(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
