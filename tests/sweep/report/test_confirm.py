"""Does training again over fresh seeds tell how good the best trials really are? Row 131."""

from __future__ import annotations

import dataclasses
import io
import math
import random
import statistics

import pytest
import scipy.stats
from rich.console import Console

from lightning_cv.errors import UserError
from lightning_cv.recipe.space import Choice
from lightning_cv.sweep.definition.file import trial_recipe
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.confirm import SEED, Confirmed, confirm_sweep, confirmed, print_confirmed
from tests.sweep.studies import (
    ACCURACY,
    BATCHES,
    LOSS,
    LR,
    RECIPE,
    SIZE,
    finished,
    make_sweep,
    mixed_study,
    random_study,
)


def confirming(searched: StudyResults, scores: list[list[float | None]], *, seeds: int) -> StudyResults:
    """A confirming study with these scores, a list for each seed; None: that training failed."""
    sweep = confirm_sweep(searched, top=len(scores[0]), seeds=seeds)
    flat = [score for of_seed in scores for score in of_seed]
    trials = [
        TrialResult(number=number, state="failed", values=values, reason="x")
        if score is None
        else finished(number, values, score)
        for number, (values, score) in enumerate(zip(sweep.listed, flat, strict=True))
    ]
    return StudyResults(sweep, tuple(trials))


def printed(rows: list[Confirmed], study: StudyResults) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_confirmed(console, rows, study.sweep)
    return console.file.getvalue()


@pytest.mark.parametrize("number", [2, 3, 5, 30])
def test_the_interval_is_students(number):
    """Oracle: scipy.stats.t.interval over the same scores."""
    draw = random.Random(number)  # noqa: S311 - no secret
    scores = tuple(draw.gauss(0.9, 0.01) for _ in range(number))
    row = Confirmed({}, 0.9, scores, num_open=0)
    low, high = scipy.stats.t.interval(0.95, number - 1, loc=row.mean, scale=scipy.stats.sem(scores))
    assert row.mean == pytest.approx(statistics.fmean(scores), rel=1e-12)
    assert row.half_width == pytest.approx((high - low) / 2, rel=1e-6)


def test_without_two_seeds_there_is_no_interval():
    assert math.isnan(Confirmed({}, 0.9, (0.8,), num_open=0).half_width)
    assert math.isnan(Confirmed({}, 0.9, (), num_open=2).mean)


@pytest.mark.parametrize("objective", [ACCURACY, LOSS])
def test_the_best_are_trained_with_seeds_that_the_search_did_not_use(objective):
    """Oracle: the trials sorted by hand. The recipe's own seed is 0."""
    study = random_study(12, objectives=(objective,))
    sweep = confirm_sweep(study, top=3, seeds=4)
    by_score = sorted(study.trials, key=lambda trial: trial.scores[0], reverse=objective.mode == "max")
    assert [values[SEED] for values in sweep.listed] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [{k: v for k, v in values.items() if k != SEED} for values in sweep.listed] == [
        dict(trial.values) for trial in by_score[:3]
    ] * 4
    recipe = trial_recipe(sweep, sweep.listed[5])
    assert (recipe.get(SEED), recipe.get(LR)) == (2, by_score[2].values[LR])
    assert (sweep.name, sweep.num_trials, sweep.pruner) == ("digits_lr-confirm", 12, None)
    assert confirm_sweep(study, top=3, seeds=4, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("seed", "expected"), [("41", [42, 43, 44]), ("true", [1, 2, 3]), (str(2**32 - 2), [2**32 - 1, 0, 1])]
)
def test_fresh_seeds_follow_the_recipes_own_and_are_ones_that_lightning_takes(seed, expected):
    study = random_study(3, recipe=RECIPE.replace("seed_everything: 0", f"seed_everything: {seed}"))
    assert [values[SEED] for values in confirm_sweep(study, top=1, seeds=3).listed] == expected


def test_more_seeds_only_add_trials_at_the_end():
    study = random_study(8)
    assert confirm_sweep(study, top=2, seeds=5).listed[:6] == confirm_sweep(study, top=2, seeds=3).listed


def test_trials_of_one_setting_are_confirmed_once():
    """Three trials drew one batch size: two more copies of the same training would make the interval too narrow."""
    sweep = make_sweep(BATCHES)
    sizes, scores = [16, 32, 16, 64, 16], [0.7, 0.8, 0.9, 0.6, 0.7]
    pairs = enumerate(zip(sizes, scores, strict=True))
    study = StudyResults(sweep, tuple(finished(n, {BATCHES.path: size}, score) for n, (size, score) in pairs))
    again = confirm_sweep(study, top=3, seeds=1)
    assert [values[BATCHES.path] for values in again.listed] == [16, 32, 64]
    rows = confirmed(confirming(study, [[0.5, 0.6, 0.7]], seeds=1), study)
    assert [(row.values[BATCHES.path], row.searched) for row in rows] == [(64, 0.6), (32, 0.8), (16, 0.9)]


def test_true_and_one_are_two_settings():
    choice = Choice(path="data.init_args.shuffle", options=((True, True), (1, 1)))
    study = StudyResults(make_sweep(choice), tuple(finished(n, {choice.path: v}, 0.5) for n, v in enumerate((True, 1))))
    assert [values[choice.path] for values in confirm_sweep(study, top=5, seeds=1).listed] == [True, 1]
    assert len(confirmed(confirming(study, [[0.1, 0.2]], seeds=1), study)) == 2


@pytest.mark.parametrize(("objective", "best"), [(ACCURACY, 0.9), (LOSS, 0.1)])
def test_settings_are_ordered_by_their_mean_and_those_without_a_score_are_last(objective, best):
    """The search had another order."""
    study = random_study(10, objectives=(objective,))
    ranked = study.ranked()
    worst = 1.0 - best
    scores = [[None, worst, best], [None, 0.5, best]]
    rows = confirmed(confirming(study, scores, seeds=2), study)
    assert [dict(row.values) for row in rows] == [dict(ranked[index].values) for index in (2, 1, 0)]
    assert [row.scores for row in rows] == [(best, best), (worst, 0.5), ()]
    assert [row.num_open for row in rows] == [0, 0, 2]
    assert [row.searched for row in rows] == [ranked[index].scores[0] for index in (2, 1, 0)]


def test_trainings_that_are_not_done_are_counted_and_left_out():
    study = random_study(6)
    done = confirming(study, [[0.5, 0.6], [0.7, None], [0.9, 0.8]], seeds=3)
    waiting = dataclasses.replace(done.trials[4], state="waiting", scores=None)
    rows = confirmed(StudyResults(done.sweep, (*done.trials[:4], waiting, done.trials[5])), study)
    assert [(row.scores, row.num_open) for row in rows] == [((0.6, 0.8), 1), ((0.5, 0.7), 1)]
    assert "2 trainings have no score yet, or failed" in printed(rows, study)


def test_a_study_that_had_more_seeds_before_is_read_as_far_as_asked():
    study = random_study(6)
    done = confirming(study, [[0.5, 0.6], [0.7, 0.8], [0.9, 1.0]], seeds=3)
    fewer = StudyResults(confirm_sweep(study, top=2, seeds=2), done.trials)
    assert [row.scores for row in confirmed(fewer, study)] == [(0.6, 0.8), (0.5, 0.7)]


@pytest.mark.parametrize(
    ("objective", "searched", "scores", "flattered"),
    [
        (ACCURACY, 0.95, (0.8, 0.8, 0.801), True),
        (ACCURACY, 0.801, (0.7, 0.8, 0.9), False),
        (ACCURACY, 0.7, (0.8, 0.8, 0.801), False),
        (LOSS, 0.1, (0.2, 0.2, 0.201), True),
        (LOSS, 0.3, (0.2, 0.2, 0.201), False),
        (ACCURACY, 0.95, (0.8,), False),
    ],
)
def test_a_score_of_the_search_that_lies_outside_the_interval_on_the_better_side_is_flattered(
    objective, searched, scores, flattered
):
    study = random_study(3, objectives=(objective,))
    said = printed([Confirmed(study.trials[0].values, searched, scores, num_open=0)], study)
    assert ("(flattered)" in said) == flattered
    assert f"{searched:.4g}" in said


def test_the_table_says_settings_seeds_mean_and_interval():
    """0.7, 0.8 and 0.9 have the mean 0.8 and the deviation 0.1: t(0.975, 2) = 4.303, so the interval is 0.25."""
    study = random_study(3)
    said = printed([Confirmed(study.trials[0].values, 0.85, (0.7, 0.8, 0.9), num_open=0)], study)
    title, _, row = said.splitlines()
    assert title == "val/accuracy over fresh seeds, with the 95% interval of its mean"
    settings = [f"{value:.6g}" for value in study.trials[0].values.values()]
    assert row.split() == [*settings, "3", "0.8", "±", "0.25", "0.85"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: random_study(3, objectives=(ACCURACY, SIZE), score=lambda values: 0.5), "has 2 objectives"),
        (lambda: StudyResults(make_sweep(), ()), "has no complete trial yet"),
        (lambda: confirming(random_study(3), [[0.5]], seeds=1), f"varies {SEED} itself"),
    ],
)
def test_what_cannot_be_confirmed_is_told_in_one_line(make, said):
    with pytest.raises(UserError, match=f"^confirm: digits_lr.* {said}"):
        confirm_sweep(make(), top=1, seeds=1)


def test_only_complete_trials_are_confirmed():
    """Of sixteen trials eleven are complete."""
    assert confirm_sweep(mixed_study(), top=99, seeds=1).num_trials == 11
