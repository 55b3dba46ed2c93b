"""Is a resumed run found equal to its uninterrupted twin, and a difference found where there is one?"""

from lightning_cv.compare.comparison import compare
from lightning_cv.compare.folder import read_folder
from lightning_cv.compare.report import remarks
from tests.compare.maker import event, history, make_run, recipe

SCORES = [0.5, 0.7, 0.6, 0.8]


def twins(*folders):
    found = compare([read_folder(folder) for folder in folders])
    return found, remarks(found, all_keys=False)


def killed_three_times():
    """Killed in epochs 2, 3 and 4, each time with lines behind the checkpoint, the last of them torn."""
    whole = history(SCORES)
    lost = [{**line, "metrics": dict.fromkeys(line["metrics"], 9.0)} for line in whole]
    return [
        *whole[:3], *lost[3:5], event("resume", 10, {}, kept=3),
        *whole[3:6], *lost[6:8], event("resume", 20, {}, kept=9),
        *whole[6:9], *lost[9:10], event("resume", 30, {}, kept=15),
        *whole[9:],
    ]  # fmt: skip


def test_a_run_killed_three_times_shows_no_difference_to_its_twin():
    """Wall time, throughput and where the output went differ, and are no difference."""
    one = make_run("runs/digits/whole", history(SCORES))
    events = [{**line, "time_s": 9 * line["time_s"]} for line in killed_three_times()]
    events = [{**line, "metrics": {**line["metrics"], "throughput/step_ms": 7.0}} for line in events]
    two = make_run("runs/digits/killed", events, recipe(trainer__logger__init_args__name="again"))
    found, lines = twins(one, two)
    assert found.differing.keys == ()
    assert found.twins[0].agree
    assert lines[0] == (
        "no difference: whole and killed have the same recipe, the same seed and equal metrics"
        " (16 values up to step 40, the last one)"
    )
    assert "ignored as mere operations: logger.name" in lines


def test_the_number_of_values_is_that_of_both_curves():
    """Oracle: 4 validations of 2 metrics, 8 points of the training loss."""
    found, _ = twins(make_run("a", history(SCORES)), make_run("b", history(SCORES)))
    assert found.twins[0].num_values == 4 * 2 + 8


def test_one_value_that_differs_in_its_last_digit_is_found():
    other = history(SCORES)
    other[5]["metrics"]["val/accuracy"] = 0.7 + 2**-52
    found, lines = twins(make_run("a", history(SCORES)), make_run("b", other))
    assert not found.twins[0].agree
    assert [name for name, *_ in found.twins[0].unequal] == ["val/accuracy"]
    assert lines[0].startswith(
        "a and b: same recipe and same seed, but they differ: val/accuracy at step 20 is 0.7 and"
    )


def test_a_point_that_one_of_them_lacks_is_found():
    other = [line for line in history(SCORES) if line["step"] != 15]
    found, lines = twins(make_run("a", history(SCORES)), make_run("b", other))
    assert found.twins[0].only_one == 1
    assert "1 value is in one of them only" in lines[0]


def test_nan_equals_nan():
    both = history([0.5, 0.6])
    both[3]["metrics"]["train/loss"] = "NaN"
    found, _ = twins(make_run("a", both), make_run("b", both))
    assert found.twins[0].agree


def test_a_run_that_has_not_got_so_far_is_equal_as_far_as_it_got():
    found, lines = twins(make_run("a", history(SCORES)), make_run("b", history(SCORES[:2], last=False)))
    assert found.twins[0].agree
    assert lines[0].endswith("(8 values up to step 20, where one of them ends)")


def test_runs_of_two_seeds_or_two_recipes_are_no_twins():
    found, lines = twins(make_run("a"), make_run("b", values=recipe(seed_everything=1)))
    assert found.twins == ()
    assert lines[0] == "the recipes differ in their seed only"
    found, lines = twins(make_run("a"), make_run("b", values=recipe(data__init_args__batch_size=1)))
    assert found.twins == ()
    assert not any("no difference" in line for line in lines)


def test_twins_without_a_common_metric_are_not_called_equal():
    found, lines = twins(make_run("a", []), make_run("b", []))
    assert not found.twins[0].agree
    assert lines[0] == "a and b: same recipe, same seed; they have no metric in common to compare"


def test_two_values_of_one_step_are_compared_in_their_order():
    """The end of an epoch may add a second point at the step of a window: a run stopped between them is no other."""
    both = [event("curve", 10, {"train/loss": 2.0}), event("curve", 10, {"train/loss": 1.0})]
    end = event("end", 10, {}, status="completed")
    found, _ = twins(make_run("a", [*both, end]), make_run("b", both[:1]))
    assert (found.twins[0].agree, found.twins[0].num_values) == (True, 1)
    found, _ = twins(make_run("c", [*both, end]), make_run("d", [*both[:1], end]))
    assert found.twins[0].only_one == 1
    found, _ = twins(make_run("e", [*both, end]), make_run("f", [both[1], both[0], end]))
    assert found.twins[0].unequal == (("train/loss", 10, 2.0, 1.0),)
