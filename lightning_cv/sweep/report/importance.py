"""Which of the searched parameters decided how good a trial was?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lightning_cv.recipe.space import Choice, Parameter, Value, same
from lightning_cv.sweep.engine.results import StudyResults, TrialResult

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MIN_TRIALS = 8  # complete ones; of fewer the order of the parameters is hardly better than a guess
_TOP_TRIALS = 5


def importances(results: StudyResults) -> dict[str, float] | None:
    """The share of each parameter in what sets good trials apart, by path, the largest first; they sum to 1.

    Optuna's default measure, PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255; conditional parameters: arXiv
    2601.20800): how much the distribution of a parameter among the good trials differs from that
    among all. Of several objectives, good is what is near the Pareto front. Departs from Optuna in what is good:
    the best quarter, and five trials at least, instead of the best tenth; of 9 trials that is one, and the
    parameter that matters comes first no more often than by chance.

    Returns:
        None: a single parameter, fewer than 8 complete trials, or all with the same scores.
    """
    trials = [trial for trial in results.complete if trial.values]
    if len({path for trial in trials for path in trial.values}) < 2:
        return None
    if len(trials) < MIN_TRIALS or len({trial.scores for trial in trials}) < 2:
        return None
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.study import StudyDirection

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces each study that it creates
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            directions = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
            study = optuna.create_study(directions=[directions[each.mode] for each in results.sweep.objectives])
            study.add_trials([_as_optuna(trial, results) for trial in trials])
            top = max(0.25, min(0.5, _TOP_TRIALS / len(trials)))
            found = optuna.importance.get_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(target_quantile=top)
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    paths = [path for path in results.sweep.space.paths if path in found]
    return {path: found[path] for path in sorted(paths, key=lambda path: -found[path])}


def _as_optuna(trial: TrialResult, results: StudyResults) -> FrozenTrial:
    from optuna.trial import create_trial

    parameters = [parameter for parameter in results.sweep.space.parameters if parameter.path in trial.values]
    assert trial.scores is not None
    return create_trial(
        params={parameter.path: _number(parameter, trial.values[parameter.path]) for parameter in parameters},
        distributions={parameter.path: _distribution(parameter) for parameter in parameters},
        values=list(trial.scores),
    )


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(range(len(parameter.options)))
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _number(parameter: Parameter, value: Value) -> Value:
    """Of a choice the index of the option: to Optuna `True` and `1` are one."""
    if isinstance(parameter, Choice):
        return next(index for index, key in enumerate(parameter.keys) if same(key, value))
    return value
