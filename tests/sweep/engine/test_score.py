"""What is a run worth, whose files were written by hand?"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from lightning_cv.sweep.definition.spec import Objective
from lightning_cv.sweep.engine.follow import Follower
from lightning_cv.sweep.engine.score import run_costs, score_run
from tests.sweep.studies import ACCURACY, LOSS, SIZE, make_sweep

NAN = math.nan
TIME, SPEED = Objective("run/time_s", "min"), Objective("run/samples_per_s", "max")


def run_with(*validations: dict[str, float], time_s: float = 50.0, training: object = None) -> Follower:
    """A run of 1,000 images, ten steps between two validations."""
    folder = Path("run")
    folder.mkdir(exist_ok=True)
    lines = [
        {"event": "validation", "epoch": epoch, "step": 10 * epoch + 10, "metrics": metrics}
        for epoch, metrics in enumerate(validations)
    ]
    ended = {"step": 10 * len(lines), "samples_seen": 1000, "time_s": time_s, "metrics": {}, "status": "completed"}
    text = "".join(f"{json.dumps(line)}\n" for line in (*lines, {"event": "end", "epoch": len(lines), **ended}))
    (folder / "progress.jsonl").write_text(text)
    if training is not None:
        (folder / "provenance.json").write_text(json.dumps({"training": training}))
    follower = Follower(folder)
    follower.read()
    return follower


def score(follower: Follower, *objectives: Objective, pick: str = "best") -> Sequence[float] | str:
    return score_run(make_sweep(objectives=objectives, pick=pick), follower, follower.folder)


@pytest.mark.parametrize(
    ("pick", "objectives", "expected"),
    [
        ("best", [ACCURACY], (0.9,)),
        ("last", [ACCURACY], (0.8,)),
        ("best", [LOSS], (0.2,)),
        ("last", [LOSS], (0.5,)),
        ("best", [ACCURACY, LOSS], (0.9, 0.4)),
        ("best", [LOSS, ACCURACY], (0.2, 0.7)),
        ("last", [LOSS, ACCURACY], (0.5, 0.8)),
        ("best", [SIZE, ACCURACY, TIME, SPEED], (1234.0, 0.9, 50.0, 20.0)),
        ("best", [TIME, SIZE], (50.0, 1234.0)),
    ],
)
def test_all_scores_are_of_one_validation_and_costs_of_the_whole_run(pick, objectives, expected):
    """Accuracy is best in the second validation, loss in the third; 1,000 images in 50 s are 20 a second."""
    validations = [
        {"val/accuracy": 0.5, "val/loss": 0.9},
        {"val/accuracy": 0.9, "val/loss": 0.4},
        {"val/accuracy": 0.7, "val/loss": 0.2},
        {"val/accuracy": 0.8, "val/loss": 0.5},
    ]
    assert score(run_with(*validations, training={"parameters": 1234}), *objectives, pick=pick) == expected


def test_of_equal_validations_the_first_counts():
    follower = run_with({"val/accuracy": 0.5, "val/loss": 3.0}, {"val/accuracy": 0.5, "val/loss": 2.0})
    assert score(follower, ACCURACY, LOSS) == (0.5, 3.0)


def test_a_validation_that_is_no_number_is_never_the_best_one_and_none_is_the_last_one():
    """A training that diverged at its end is worth what it was at its best, but its last value is none."""
    diverged = run_with({"val/loss": 0.3}, {"val/loss": math.inf}, {"val/loss": NAN})
    assert score(diverged, LOSS) == (0.3,)
    assert score(diverged, LOSS, pick="last") == "val/loss is nan in the validation that counts (step 30)"


def test_a_validation_without_the_metric_is_not_the_last_one_that_counts():
    """Metrics may be scored in every second validation."""
    follower = run_with({"val/accuracy": 0.3}, {"val/accuracy": 0.4}, {"val/loss": 1.0})
    assert score(follower, ACCURACY, pick="last") == (0.4,)


@pytest.mark.parametrize(
    ("validations", "objectives", "reason"),
    [
        ([], [ACCURACY], "val/accuracy has no value: there was no validation"),
        ([{"val/loss": 1.0}], [ACCURACY], "val/accuracy was not logged; allowed: val/loss"),
        (
            [{"val/acuracy": 1.0, "val/loss": 1.0}],
            [ACCURACY],
            "val/accuracy was not logged; did you mean val/acuracy?",
        ),
        ([{"val/loss": NAN}, {"val/loss": -math.inf}], [LOSS], "val/loss was never a finite number"),
        (
            [{"val/loss": 1.0, "val/accuracy": NAN}, {"val/loss": 2.0, "val/accuracy": 0.5}],
            [LOSS, ACCURACY],
            "val/accuracy is nan in the validation that counts (step 10)",
        ),
        (
            [{"val/loss": 1.0}, {"val/loss": 2.0, "val/accuracy": 0.5}],
            [LOSS, ACCURACY],
            "val/accuracy is missing in the validation that counts (step 10)",
        ),
        ([{"val/loss": 1.0}], [LOSS, SIZE], "run/parameters is not known: the run left no word on it"),
        ([], [SIZE], "run/parameters is not known: the run left no word on it"),
    ],
)
def test_a_run_without_a_score_says_why(validations, objectives, reason):
    assert score(run_with(*validations), *objectives) == reason


@pytest.mark.parametrize("training", [None, {}, {"parameters": None}, {"parameters": "many"}, [], "x"])
def test_a_run_whose_size_is_not_known_has_the_other_costs(training):
    follower = run_with(training=training)
    assert run_costs(follower, follower.folder) == {"run/time_s": 50.0, "run/samples_per_s": 20.0}


def test_a_run_that_took_no_time_has_no_speed():
    follower = run_with(time_s=0.0, training={"parameters": 3})
    assert run_costs(follower, follower.folder) == {"run/time_s": 0.0, "run/parameters": 3.0}
