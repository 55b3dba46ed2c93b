"""Does the parameter that decides come first, and is nothing said where nothing can be?"""

import logging
import warnings

import numpy as np
import optuna
import pytest

from lightning_cv.recipe.space import Choice, Condition, Range
from lightning_cv.sweep.engine.results import StudyResults
from lightning_cv.sweep.report.importance import importances
from tests.sweep.studies import (
    ACCURACY,
    BATCHES,
    DECAY,
    DECAY_RANGE,
    LOSS,
    LR,
    LR_RANGE,
    SIZE,
    draws,
    finished,
    good_lr,
    grid_study,
    make_sweep,
    random_study,
)

MOMENTUM = Range(path="model.init_args.optimizer.init_args.momentum", low=0.5, high=0.99)


@pytest.mark.parametrize(("objective", "sign"), [(ACCURACY, 1), (LOSS, -1)])
@pytest.mark.parametrize("seed", range(4))
def test_the_only_parameter_that_matters_comes_first(objective, sign, seed):
    """Of three parameters the score depends on one: its share is the largest by far, and all sum to 1 (row 134)."""
    study = random_study(
        40, LR_RANGE, DECAY_RANGE, MOMENTUM, score=lambda v: sign * good_lr(v), seed=seed, objectives=(objective,)
    )
    found = importances(study)
    assert next(iter(found)) == LR
    assert found[LR] > 0.6
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_sixteen_noisy_trials_are_enough_most_of_the_time():
    """Of 30 studies of 16 trials, whose noise is a tenth of the range, the one that matters is first in 24 or more."""
    hits = 0
    for seed in range(30):
        noise = iter(np.random.default_rng(seed).normal(0, 0.1, 16))
        study = random_study(
            16, LR_RANGE, DECAY_RANGE, MOMENTUM, seed=seed, score=lambda v, n=noise: good_lr(v) + float(next(n))
        )
        hits += next(iter(importances(study))) == LR
    assert hits >= 24


def test_a_grid_of_nine_tells_too():
    """On the 3 x 3 grid whose score depends strongly on the learning rate, its share is the larger one."""
    assert next(iter(importances(grid_study(3)))) == LR


def test_parameters_that_only_some_trials_have_are_weighed_too():
    """A choice decides which of two networks is trained, and the width of one decides the rest."""
    network = Choice(path="model.network", options=(("a", {}), ("b", {})))
    width = Range(path="model.network.width", low=0, high=1, when=(Condition(path="model.network", keys=("b",)),))
    sweep = make_sweep(network, width, MOMENTUM)
    values = draws(sweep.space, 60, seed=1)
    trials = [
        finished(n, v, v["model.network.width"] if v["model.network"] == "b" else 0.2) for n, v in enumerate(values)
    ]
    found = importances(StudyResults(sweep, tuple(trials)))
    assert set(found) == {"model.network", "model.network.width", MOMENTUM.path}
    assert list(found)[-1] == MOMENTUM.path


def test_of_several_objectives_what_brings_trials_to_the_front_counts():
    """Both objectives depend on the learning rate alone, so it comes first."""
    sweep = make_sweep(LR_RANGE, DECAY_RANGE, objectives=(ACCURACY, SIZE))
    values = draws(sweep.space, 40, seed=2)
    trials = [finished(n, v, good_lr(v), -10 * good_lr(v, 2.0)) for n, v in enumerate(values)]
    found = importances(StudyResults(sweep, tuple(trials)))
    assert next(iter(found)) == LR


def test_options_that_python_takes_for_equal_are_told_apart():
    """Only true is good, and 1 is not: the choice decides everything, the learning rate nothing."""
    odd = Choice(path=BATCHES.path, options=((1, 1), (True, True)))
    found = importances(random_study(40, LR_RANGE, odd, score=lambda v: 0.9 if v[BATCHES.path] is True else 0.1))
    assert found[BATCHES.path] > 0.8


@pytest.mark.parametrize(
    "study",
    [lambda: random_study(7), lambda: random_study(30, LR_RANGE), lambda: random_study(30, score=lambda _: 0.5)],
)
def test_nothing_is_said_of_few_trials_one_parameter_or_equal_scores(study):
    """Seven trials, a single parameter, and thirty equal scores each give None."""
    assert importances(study()) is None


def test_it_is_silent_repeatable_and_leaves_optuna_as_it_was():
    """No record, no warning, the same numbers again, and Optuna's verbosity unchanged, also where regimes are small."""
    before = optuna.logging.get_verbosity()
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    logging.getLogger("optuna").addHandler(handler)
    optuna.logging.set_verbosity(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study = random_study(9, LR_RANGE, DECAY_RANGE, BATCHES)
            assert importances(study) == importances(study)
        assert optuna.logging.get_verbosity() == logging.INFO
        assert said == []
        optuna.create_study()
        assert len(said) == 1  # so that silence means something
    finally:
        optuna.logging.set_verbosity(before)
        logging.getLogger("optuna").removeHandler(handler)
    assert DECAY in importances(study)
