"""What is a finished run worth, by the objectives of its sweep?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lightning_cv.recipe.suggest import hint
from lightning_cv.sweep.definition.spec import Objective, Sweep
from lightning_cv.sweep.engine.follow import Follower, Validation


def score_run(sweep: Sweep, follower: Follower, folder: Path) -> tuple[float, ...] | str:
    """One number an objective, all of one validation; or why there is none, in one line.

    That is the last validation, or with `pick: best` the one in which the first logged objective is best.
    Objectives named `run/...` are costs of the whole run.
    """
    logged = [objective for objective in sweep.objectives if not objective.metric.startswith("run/")]
    at = _that_counts(sweep, logged[0], follower) if logged else None
    if isinstance(at, str):
        return at
    costs, scores = run_costs(follower, folder), []
    for objective in sweep.objectives:
        if at is None or objective not in logged:
            value = costs.get(objective.metric, math.nan)
        else:
            value = at.metrics.get(objective.metric, math.nan)
        if not math.isfinite(value):
            return _why_none(objective, follower, at if objective in logged else None)
        scores.append(value)
    return tuple(scores)


def _that_counts(sweep: Sweep, first: Objective, follower: Follower) -> Validation | str:
    """The validation whose metrics are the run's scores, or why there is none."""
    if sweep.pick == "last":
        having = [validation for validation in follower.validations if first.metric in validation.metrics]
        return having[-1] if having else _why_none(first, follower, None)
    candidates = follower.finite(first.metric)
    if not candidates:
        return _why_none(first, follower, None)
    best = max if first.mode == "max" else min
    return best(candidates, key=lambda validation: validation.metrics[first.metric])


def run_costs(follower: Follower, folder: Path) -> dict[str, float]:
    """What a run cost, as far as that is known: all its parameters, seconds of training, images a second."""
    costs = {"run/time_s": follower.time_s}
    if follower.time_s > 0:
        costs["run/samples_per_s"] = follower.samples_seen / follower.time_s
    try:
        training: Any = json.loads((folder / "provenance.json").read_bytes()).get("training", {})
        costs["run/parameters"] = float(training["parameters"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return costs


def _why_none(objective: Objective, follower: Follower, at: Validation | None) -> str:
    metric = objective.metric
    if metric.startswith("run/"):
        return f"{metric} is not known: the run left no word on it"
    if not follower.validations:
        return f"{metric} has no value: there was no validation"
    known = dict.fromkeys(name for validation in follower.validations for name in validation.metrics)
    if metric not in known:
        return f"{metric} was not logged{hint(metric, known)}"
    if at is None:
        return f"{metric} was never a finite number"
    return f"{metric} is {at.metrics.get(metric, 'missing')} in the validation that counts (step {at.step})"
