"""Is it right which points of its curves W&B is said to have?"""

import pytest

from lightning_cv.tracking.present import Present, present_in, present_on_server

STEP = "trainer/global_step"
ROWS = [(step, {"a": float(step)}) for step in (2, 4, 6, 8)]


def sent_again(present: Present, steps) -> list[int]:
    return [step for step in steps if present.missing(step, {"a": 1.0})]


def test_nothing_known_means_that_everything_is_missing():
    assert Present().missing(3, {"a": 1.0, "epoch": 0}) == {"a": 1.0, "epoch": 0}


def test_only_the_names_that_lack_at_a_step_are_missing():
    """A row of nothing but axes is none."""
    present = present_in([{STEP: 1, "a": 1.0, "epoch": 0}, {STEP: 2, "a": 1.0}, {STEP: 2, "b": 2.0}, {"a": 3.0}])
    assert present.missing(1, {"a": 1.0, "epoch": 0}) == {}
    assert present.missing(1, {"a": 1.0, "c": 2.0, "epoch": 0}) == {"c": 2.0}
    assert present.missing(2, {"a": 1.0, "b": 2.0, "epoch": 1}) == {}
    assert present.missing(3, {"a": 1.0}) == {"a": 1.0}


@pytest.mark.parametrize(
    ("last", "row_of_last", "next_row", "missing"),
    [
        pytest.param(4, 1, 2, [6, 8, 10, 12], id="the summary is up to date"),
        pytest.param(4, 1, 3, [8, 10, 12], id="the summary is one row late"),
        pytest.param(4, 1, 4, [10, 12], id="the summary is late to the last known row"),
        pytest.param(4, 1, 5, [12], id="the server has a row behind the checkpoint"),
        pytest.param(8, 3, 4, [10, 12], id="everything is there"),
        pytest.param(10, 4, 5, [12], id="the server is ahead of the checkpoint"),
        pytest.param(4, None, 2, [6, 8, 10, 12], id="the summary does not count rows"),
        pytest.param(None, None, 0, [2, 4, 6, 8, 10, 12], id="the server has nothing"),
    ],
)
def test_what_a_server_has_follows_from_its_last_step_and_its_count_of_rows(last, row_of_last, next_row, missing):
    """The run measured at 2, 4, 6, 8 before its checkpoint, in rows 0 to 3, and will at 10 and 12."""
    summary = {key: value for key, value in ((STEP, last), ("_step", row_of_last)) if value is not None}
    present = present_on_server(summary, next_row, ROWS)
    assert sent_again(present, [2, 4, 6, 8, 10, 12]) == missing
