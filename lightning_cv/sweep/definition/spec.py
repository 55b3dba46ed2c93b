"""What does a sweep say, once it is read and checked?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.space import Space, Value

Mode = Literal["min", "max"]
Pick = Literal["best", "last"]


@dataclass(frozen=True)
class Objective:
    """One number by which trials are judged.

    Args:
        metric: as logged at a validation (`val/accuracy`), or one of `run/parameters`, `run/time_s`,
            `run/samples_per_s`: what the run cost.
        mode: whether less or more is better.
    """

    metric: str
    mode: Mode


@dataclass(frozen=True)
class Named:
    """A sampler or pruner by its name in the sweep, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A search over one recipe.

    Args:
        name: of the study and of its folder below the folder of runs.
        recipe: as the sweep names it.
        composed: that recipe with the sweep's fixed values.
        fixed: values that all trials share, by dotted path; of them and the recipe `composed` is made.
        space: what is searched.
        objectives: one, or several for a Pareto front.
        pick: whether a trial is worth its best validation (by the first objective) or its last one.
        sampler: random, grid, qmc, tpe, gp, cmaes or policy_gradient.
        seed: of the sampler.
        trials: how many; with grid None: all points.
        pruner: None: every trial trains to its end.
        storage: None: a journal in the study's folder; else the URL of a database, which may hold a password.
        retries: how often a trial that was killed, and got no further than the time before, is started again.
        listed: the trials, where they were listed instead of searched (`confirm`): values by path, in order.
        path: the file.
    """

    name: str
    recipe: str
    composed: Composed
    fixed: Mapping[str, Any]
    space: Space
    objectives: tuple[Objective, ...]
    pick: Pick = "best"
    sampler: Named = Named("random")
    seed: int = 0
    trials: int | None = None
    pruner: Named | None = None
    storage: str | None = None
    retries: int = 2
    listed: tuple[Mapping[str, Value], ...] = ()
    path: Path = Path()

    @property
    def num_trials(self) -> int:
        """How many trials there are to be."""
        if self.listed:
            return len(self.listed)
        if self.trials is not None:
            return self.trials
        return sum(1 for _ in self.space.grid())
