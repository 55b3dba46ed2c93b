"""Are the best trials and the Pareto front those that looking at every pair finds?"""

import math

import numpy as np
import pytest

from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from tests.sweep.studies import ACCURACY, LOSS, LR_RANGE, SIZE, finished, make_sweep, mixed_study


def study(points, objectives):
    trials = tuple(finished(number, {}, *scores) for number, scores in enumerate(points))
    return StudyResults(make_sweep(LR_RANGE, objectives=objectives), trials)


def beaten(point, others, objectives):
    """By the definition: another point is as good everywhere and better somewhere."""
    for other in others:
        as_good = [
            b <= a if each.mode == "min" else b >= a for a, b, each in zip(point, other, objectives, strict=True)
        ]
        better = [b < a if each.mode == "min" else b > a for a, b, each in zip(point, other, objectives, strict=True)]
        if all(as_good) and any(better):
            return True
    return False


@pytest.mark.parametrize("objectives", [(ACCURACY,), (ACCURACY, SIZE), (LOSS, SIZE), (ACCURACY, LOSS, SIZE)])
@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_no_other_trial_beats(objectives, seed):
    """The front equals that found by comparing every pair, ties included: scores are of ten values each."""
    points = np.random.default_rng(seed).integers(0, 10, (40, len(objectives))).astype(float).tolist()
    found = [trial.number for trial in study(points, objectives).front()]
    assert found == [n for n, point in enumerate(points) if not beaten(point, points, objectives)]


@pytest.mark.parametrize("objective", [ACCURACY, LOSS])
def test_trials_are_ranked_by_score_and_equal_ones_by_number(objective):
    """The ranking equals sorting the pairs of score and number by hand."""
    scores = np.random.default_rng(0).integers(0, 5, 30).astype(float).tolist()
    best_first = sorted(set(scores), reverse=objective.mode == "max")
    expected = [number for value in best_first for number, score in enumerate(scores) if score == value]
    assert [trial.number for trial in study([(s,) for s in scores], (objective,)).ranked()] == expected


def test_only_finite_scores_of_complete_trials_count():
    """NaN, infinite, pruned, failed, running and waiting trials are neither ranked nor on the front."""
    found = mixed_study()
    odd = [
        finished(16, {}, math.nan),
        finished(17, {}, math.inf),
        TrialResult(number=18, state="complete", scores=None),
    ]
    found = StudyResults(found.sweep, (*found.trials, *odd))
    assert [trial.number for trial in found.complete] == list(range(5, 16))
    assert {trial.number for trial in found.ranked()} == set(range(5, 16))
    assert [trial.number for trial in found.front()] == [11]


def test_nothing_is_ranked_where_there_is_nothing():
    """A study without trials has no best and no front."""
    empty = study([], (ACCURACY, SIZE))
    assert (empty.complete, empty.ranked(), empty.front()) == ((), (), ())
