"""What is a finished run worth, by the objectives of its sweep?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lightning_cv.recipe.suggest import hint
from lightning_cv.sweep.follow import Follower
from lightning_cv.sweep.spec import Objective, Sweep


def score_run(sweep: Sweep, follower: Follower, folder: Path) -> tuple[float, ...] | str:
    """One number an objective, all of one validation; or why there is none, in one line.

    That is the last validation, or with `pick: best` the one in which the first logged objective is best.
    Objectives named `run/...` are costs of the whole run.
    """
    logged = [objective for objective in sweep.objectives if not objective.metric.startswith("run/")]
    at = None
    if logged:
        first = logged[0]
        candidates = follower.finite(first.metric)
        if not candidates:
            return _why_none(first, follower)
        best = max if first.mode == "max" else min
        at = best(candidates, key=lambda v: v.metrics[first.metric]) if sweep.pick == "best" else candidates[-1]
    scores = []
    for objective in sweep.objectives:
        if objective.metric.startswith("run/"):
            value = run_costs(follower, folder).get(objective.metric, math.nan)
        else:
            assert at is not None
            value = at.metrics.get(objective.metric, math.nan)
        if not math.isfinite(value):
            return _why_none(objective, follower)
        scores.append(value)
    return tuple(scores)


def run_costs(follower: Follower, folder: Path) -> dict[str, float]:
    """What a run cost: trainable parameters and all of them, seconds of training, images a second."""
    costs = {"run/time_s": follower.time_s}
    if follower.time_s > 0:
        costs["run/samples_per_s"] = follower.samples_seen / follower.time_s
    try:
        training: Any = json.loads((folder / "provenance.json").read_bytes()).get("training", {})
        costs["run/parameters"] = float(training["parameters"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return costs


def _why_none(objective: Objective, follower: Follower) -> str:
    if not follower.validations:
        return f"{objective.metric} has no value: there was no validation"
    known = dict.fromkeys(name for validation in follower.validations for name in validation.metrics)
    if objective.metric in known:
        return f"{objective.metric} was never a finite number"
    return f"{objective.metric} was not logged{hint(objective.metric, known)}"
