"""Does the summary of a run say the best of its metric, and the range of the others, over the whole run?"""

import math

import pytest

from lightning_cv.tracking.summary import RunSummary


@pytest.mark.parametrize(("mode", "best", "changes"), [("max", 5.0, [2.0, 5.0]), ("min", 1.0, [2.0, 1.0])])
def test_the_best_is_the_extreme_of_all_finite_values(mode, best, changes):
    """It is told anew only where it became better."""
    summary = RunSummary()
    summary.watch("a", mode)
    values = [2.0, math.nan, 5.0, 1.0, -math.inf, math.inf, 2.0]
    told = [changed["a"] for value in values if (changed := summary.add({"a": value, "epoch": 3}))]
    assert told == changes
    assert summary.whole() == {"a": best}


def test_others_have_their_range_and_their_last_value():
    """Not finite values, pictures, booleans and the axes have none."""
    summary = RunSummary()
    summary.watch("a", "max")
    for value in (3, 1.0, 2.0, math.nan):
        assert summary.add({"b": value, "trainer/global_step": 3, "epoch": 1, "p": object(), "q": True}) == {}
    assert summary.whole() == {"b": {"min": 1.0, "max": 3, "last": 2.0}}


def test_watching_the_same_again_forgets_nothing_and_watching_otherwise_does():
    summary = RunSummary()
    summary.watch("a", "max")
    summary.add({"a": 3.0})
    summary.watch("a", "max")
    assert summary.add({"a": 2.0}) == {}
    summary.watch("a", "min")
    assert summary.add({"a": 2.5}) == {"a": 2.5}
