"""Is the winner's recipe the one that its trial was trained with?"""

from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import read_summary
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.winner import winner
from tests.sweep.studies import (
    ACCURACY,
    BATCH,
    BATCHES,
    DECAY,
    LR,
    LR_RANGE,
    NETWORK,
    NETWORKS,
    SIZE,
    WIDTH,
    WIDTH_RANGE,
    finished,
    make_sweep,
    mixed_study,
    random_study,
)


def recipe_of(text):
    Path("best.yaml").write_text(text)
    return compose([read_recipe(Path("best.yaml"))])


def test_it_composes_to_the_recipe_with_the_values_of_the_best_trial():
    """Every value that was searched is the best trial's to the last bit, and all others are the recipe's."""
    results = random_study(16, fixed={"trainer.max_epochs": 7})
    best = max(results.trials, key=lambda trial: trial.scores[0])
    found = recipe_of(winner(results))
    assert (found.get(LR), found.get(DECAY)) == (best.values[LR], best.values[DECAY])
    expected = results.sweep.composed.set(LR, best.values[LR]).set(DECAY, best.values[DECAY]).values
    assert found.values == expected
    assert found.get("trainer.max_epochs") == 7


def test_an_option_replaces_the_network_before_its_width_is_set():
    """The chosen class stands with its own options and the width of the trial; those of the old class are gone."""
    sweep = make_sweep(LR_RANGE, NETWORKS, WIDTH_RANGE, BATCHES)
    trial = finished(0, {LR: 0.1, NETWORK: "resnet", WIDTH: 17, BATCH: 16}, 0.9)
    found = recipe_of(winner(StudyResults(sweep, (trial,))))
    resnet = "lightning_cv.networks.classify.SmallResNet"
    assert found.get(NETWORK) == {"class_path": resnet, "init_args": {"width": 17}}
    assert found.get(BATCH) == 16


def test_its_keys_have_the_order_of_every_recipe():
    """The recipe of the tests states them in another one."""
    text = winner(random_study(4))
    keys = [line.partition(":")[0] for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert keys == ["seed_everything", "model", "data", "trainer"]


def test_its_header_says_what_it_is_and_that_the_score_flatters():
    """The score of the search, how many trials it is the best of, and where it comes from."""
    text = winner(mixed_study())
    header = [line for line in text.splitlines() if line.startswith("#")]
    Path("best.yaml").write_text(text)
    assert read_summary(Path("best.yaml")) == "The best of 11 complete trials of the sweep digits_lr."
    assert "# Expect:    val/accuracy 0.999859: the best validation, one seed, in the search" in header
    assert any("the best of 11 noisy trials flatters" in line for line in header)
    assert "# Source:    trial 11 of sweeps/digits_lr.yaml, recipe digits_mlp" in header
    assert any(line.startswith("# Run:       lightning-cv fit --config") for line in header)
    assert max(map(len, header)) <= 120


def test_another_trial_is_written_by_its_number_and_says_its_state():
    """Trial 2 was pruned, so nothing is to be expected of it; nothing flatters."""
    text = winner(mixed_study(), 2)
    assert recipe_of(text).get(LR) == mixed_study().trials[2].values[LR]
    assert "# Trial 2 of the sweep digits_lr." in text
    assert "# Expect:    not known: the trial is pruned" in text
    assert "flatters" not in text
    assert "Trial 12 of" in winner(mixed_study(), 12)


def test_of_several_objectives_the_front_is_named():
    """Trials 0 and 2 are the front; trial 1 is beaten; a number settles it."""
    sweep = make_sweep(LR_RANGE, objectives=(ACCURACY, SIZE))
    scores = [(0.9, 1e6), (0.8, 2e6), (0.7, 1e5)]
    results = StudyResults(sweep, tuple(finished(n, {LR: 0.01 * (n + 1)}, *pair) for n, pair in enumerate(scores)))
    with pytest.raises(UserError) as caught:
        winner(results)
    assert str(caught.value) == (
        "best: digits_lr has 2 objectives; name a trial of its front: "
        "0: val/accuracy 0.9, run/parameters 1000000; 2: val/accuracy 0.7, run/parameters 100000"
    )
    assert recipe_of(winner(results, 2)).get(LR) == 0.03


@pytest.mark.parametrize(
    ("number", "said"),
    [(99, "digits_lr has no trial 99; allowed: 0 to 15"), (4, "trial 4 of digits_lr has not begun")],
)
def test_a_trial_that_there_is_not_or_that_has_no_values_is_refused(number, said):
    """In one line, with the numbers that there are."""
    with pytest.raises(UserError, match=said):
        winner(mixed_study(), number)


def test_without_a_complete_trial_there_is_no_best():
    """A study of failed trials names none; its trials can be had by number."""
    failed = TrialResult(number=0, state="failed", values={LR: 0.1}, reason="out of memory")
    results = StudyResults(make_sweep(LR_RANGE), (failed,))
    with pytest.raises(UserError, match="has no complete trial"):
        winner(results)
    assert recipe_of(winner(results, 0)).get(LR) == 0.1
