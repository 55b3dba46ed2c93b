"""Does a row of a W&B history say where training stood?"""

import math

from lightning_cv.compare.rows import Row, curves_of_rows


def test_a_row_stands_at_the_trainers_step_else_at_its_own_number():
    row = Row.of(
        {"_step": 3, "_runtime": 1.5, "trainer/global_step": 29, "epoch": 2, "loss": 0.5, "note": "x", "on": True}
    )
    assert row == Row(step=29, of_trainer=True, epoch=2, time_s=1.5, metrics={"loss": 0.5})
    assert (Row.of({"_step": 3, "loss": 1}).step, Row.of({"_step": 3, "loss": 1}).of_trainer) == (3, False)


def test_words_for_what_is_not_finite_are_numbers_and_others_are_not():
    metrics = Row.of({"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": "nan", "e": None, "f": [1]}).metrics
    assert math.isnan(metrics.pop("a"))
    assert metrics == {"b": math.inf, "c": -math.inf}


def test_a_row_without_a_metric_is_none():
    assert Row.of({"_step": 3, "trainer/global_step": 2, "epoch": 1, "note": "x"}) is None


def test_a_later_part_of_a_run_goes_on_where_the_earlier_one_stood():
    row = Row.of({"_step": 3, "_runtime": 1.5, "loss": 1.0}).shifted(steps=10, time_s=60.0)
    assert (row.step, row.time_s) == (13, 61.5)


def test_each_metric_has_the_rows_that_hold_it():
    rows = [Row.of({"_step": 0, "a": 1.0}), Row.of({"_step": 1, "a": 2.0, "b": 3.0})]
    curves = curves_of_rows(rows)
    assert (list(curves["a"].steps), list(curves["a"].values)) == ([0, 1], [1.0, 2.0])
    assert (list(curves["b"].steps), list(curves["b"].values)) == ([1], [3.0])
