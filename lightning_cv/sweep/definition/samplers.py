"""Which values does a trial get?"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lightning_cv.recipe.space import Choice, Value, is_searched
from lightning_cv.sweep.definition.options import PLANNED, SAMPLERS, build
from lightning_cv.sweep.definition.spec import Sweep

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# The values of a trial as a function of its number.
Plan = Callable[[int], Mapping[str, Value]]


def make_sampler(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler of one trial; make one for each.

    Listed trials and those of random, grid and qmc are planned: their values follow from seed, number and path alone,
    in whichever order, process or machine they are drawn. TPE, GP, CMA-ES and the controller learn from the trials that
    have ended by then, and so depend on the order; what they draw at random follows from (seed, number), so that two
    workers never draw the same, nor does a study that goes on. GP loads torch, as late as when it has trials to learn
    from.

    Args:
        sweep: what is searched, and how.
        number: of the trial, from 0.
    """
    if sweep.listed or sweep.sampler.name in PLANNED:
        return _planned(_plan(sweep))
    options = dict(sweep.sampler.options)
    if sweep.sampler.name in ("gp", "cmaes"):
        options["warn_independent_sampling"] = False
    seed = int(_unit(sweep.seed, number, sweep.sampler.name) * 2**32)
    sampler: BaseSampler = build(SAMPLERS[sweep.sampler.name], {**options, "seed": seed})
    if sweep.sampler.name == "policy_gradient":
        setattr(sampler, "order", sweep.space.paths)  # noqa: B010 - Optuna's class has no such attribute
    return sampler


def suggest(trial: optuna.Trial, sweep: Sweep) -> dict[str, Value]:
    """The values of a trial by path, those whose condition is not met left out.

    Optuna stores them under the dotted paths, with the ranges as they are, so that its own tools draw logarithmic axes.
    """
    values: dict[str, Value] = {}
    for parameter in sweep.space.parameters:
        path = parameter.path
        if not is_searched(parameter, values):
            continue
        if isinstance(parameter, Choice):
            values[path] = trial.suggest_categorical(path, parameter.keys)
        elif parameter.integer:
            low, high = int(parameter.low), int(parameter.high)
            values[path] = int(trial.suggest_int(path, low, high, log=parameter.log))
        else:
            values[path] = float(trial.suggest_float(path, parameter.low, parameter.high, log=parameter.log))
    return values


def _planned(plan: Plan) -> BaseSampler:
    """A sampler that gives each trial the values that the plan has for its number."""
    from optuna.samplers import BaseSampler  # late, with the class: whoever imports this file need not wait for it

    class Planned(BaseSampler):
        drawn: tuple[int, Mapping[str, Value]] = (-1, {})

        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(
            self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
        ) -> Any:
            if self.drawn[0] != trial.number:
                self.drawn = (trial.number, plan(trial.number))
            return self.drawn[1][param_name]

    return Planned()


def _plan(sweep: Sweep) -> Plan:
    if sweep.listed:
        return lambda number: sweep.listed[number]
    if sweep.sampler.name == "grid":
        return lambda number: next(itertools.islice(sweep.space.grid(), number, None))
    draw = {"random": _random, "qmc": _sobol}[sweep.sampler.name]
    return lambda number: sweep.space.draw(draw(sweep, number))


def _random(sweep: Sweep, number: int) -> dict[str, float]:
    return {path: _unit(sweep.seed, number, path) for path in sweep.space.paths}


def _sobol(sweep: Sweep, number: int) -> dict[str, float]:
    """The point of this number of the scrambled Sobol sequence (Joe and Kuo 2008, scrambled as Matousek 1998)."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(sweep.space.paths), scramble=True, rng=sweep.seed)
    if number:
        sequence.fast_forward(number)
    return dict(zip(sweep.space.paths, map(float, sequence.random(1)[0]), strict=True))


def _unit(seed: int, number: int, name: str) -> float:
    """A uniform draw from [0, 1) with 53 bits: a hash of what it is for."""
    digest = hashlib.blake2b(f"{seed} {number} {name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
