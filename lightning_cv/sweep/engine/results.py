"""What has a study found so far, as plain data that reports, pictures and the next sweep are made from?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightning_cv.recipe.space import Value
from lightning_cv.sweep.definition.spec import Sweep

State = Literal["waiting", "running", "complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial.

    Args:
        number: from 0.
        state: "waiting" has not begun, or was interrupted and goes on later.
        values: what it was told to use, by path; empty before it began.
        scores: one number an objective; None where there is none. Of a pruned trial what it had when it ended.
        reported: value of the first objective by number of the validation, from 1.
        reason: why it failed or was pruned, one line; empty otherwise.
        time_s: seconds from its start to its end, all attempts; None: it has no end.
        folder: of its run; None: it never had one.
    """

    number: int
    state: State
    values: Mapping[str, Value] = field(default_factory=dict)
    scores: tuple[float, ...] | None = None
    reported: Mapping[int, float] = field(default_factory=dict)
    reason: str = ""
    time_s: float | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class StudyResults:
    """A study.

    Args:
        sweep: what is searched; the storage without its password.
        trials: in the order of their numbers.
    """

    sweep: Sweep
    trials: tuple[TrialResult, ...]

    @property
    def complete(self) -> tuple[TrialResult, ...]:
        """Trials that trained to their end and have finite scores."""
        return tuple(
            trial
            for trial in self.trials
            if trial.state == "complete" and trial.scores and all(map(math.isfinite, trial.scores))
        )

    def ranked(self) -> tuple[TrialResult, ...]:
        """The complete trials by their first objective, the best first; of equal ones the earlier first."""
        sign = -1 if self.sweep.objectives[0].mode == "max" else 1
        return tuple(sorted(self.complete, key=lambda trial: (sign * _first(trial), trial.number)))

    def front(self) -> tuple[TrialResult, ...]:
        """The complete trials of which no other is nowhere worse and somewhere better (Pareto), by their numbers.

        Of several trials with the same scores all are on it.
        """
        signs = [1 if objective.mode == "max" else -1 for objective in self.sweep.objectives]
        points = [(trial, [s * x for s, x in zip(signs, trial.scores or (), strict=True)]) for trial in self.complete]
        # Whatever beats a trial stands before it in this order, and is on the front or beaten by one that is.
        points.sort(key=lambda item: item[1], reverse=True)
        front: list[tuple[TrialResult, list[float]]] = []
        for trial, point in points:
            if not any(_beats(other, point) for _, other in front):
                front.append((trial, point))
        return tuple(sorted((trial for trial, _ in front), key=lambda trial: trial.number))


def _first(trial: TrialResult) -> float:
    assert trial.scores is not None
    return trial.scores[0]


def _beats(other: list[float], point: list[float]) -> bool:
    """Whether `other` is nowhere worse and somewhere better; more is better."""
    return other != point and all(a >= b for a, b in zip(other, point, strict=True))
