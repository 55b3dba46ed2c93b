"""Are seeds grouped, and is luck not read as progress?"""

import math
import statistics

import pytest
from scipy import stats

from lightning_cv.compare.comparison import compare, label_runs
from lightning_cv.compare.groups import run_score, score
from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.run import Curve, Run
from lightning_cv.compare.welch import t_quantile, welch
from lightning_cv.errors import UserError

ACCURACY = Metric("val/accuracy", "max", "name")


def run(run_id, seed, lr, *values, name="digits"):
    steps = list(range(1, len(values) + 1))
    curve = Curve(steps, steps, steps, steps, values)
    recipe = {"seed_everything": seed, "model": {"init_args": {"lr": lr}}}
    return Run(
        source=f"runs/{name}/{run_id}",
        name=name,
        run_id=run_id,
        recipe=recipe,
        seed=seed,
        curves={"val/accuracy": curve},
    )


def test_runs_that_differ_in_their_seed_only_are_one_group():
    found = compare([run("a", 0, 0.1, 0.5), run("b", 0, 0.2, 0.6), run("c", 1, 0.1, 0.7)])
    assert [(group.label, group.members, group.num_seeds) for group in found.groups] == [
        ("lr=0.1", (0, 2), 2),
        ("lr=0.2", (1,), 1),
    ]


def test_a_group_scores_the_mean_of_the_best_values_with_their_standard_deviation():
    """Oracle: the module `statistics` on the best values, 0.8, 0.6 and 0.7."""
    found = compare([run("a", 0, 0.1, 0.8, 0.5), run("b", 1, 0.1, 0.4, 0.6), run("c", 2, 0.1, math.nan, 0.7)])
    scored = score(found.runs, found.groups[0], ACCURACY)
    assert scored.values == (0.8, 0.6, 0.7)
    assert scored.mean == pytest.approx(0.7)
    assert scored.spread == pytest.approx(statistics.stdev([0.8, 0.6, 0.7]))


def test_two_runs_of_one_seed_are_no_two_draws():
    found = compare([run("a", 0, 0.1, 0.8), run("b", 0, 0.1, 0.8), run("c", 1, 0.1, 0.6)])
    (group,) = found.groups
    scored = score(found.runs, group, ACCURACY)
    assert (group.num_seeds, scored.values) == (2, (0.8, 0.6))
    assert scored.mean == pytest.approx(0.7)


def test_the_score_of_a_run_is_its_best_value_and_without_a_mode_its_last():
    one = run("a", 0, 0.1, 0.5, 0.9, math.inf, math.nan, 0.7)
    assert run_score(one, ACCURACY) == 0.9
    assert run_score(one, Metric("val/accuracy", "min")) == 0.5
    assert run_score(one, Metric("val/accuracy", None)) == 0.7
    assert math.isnan(run_score(run("a", 0, 0.1, math.nan), ACCURACY))
    assert math.isnan(run_score(one, Metric("other", "max")))


@pytest.mark.parametrize("count", [(2, 2), (3, 5), (30, 4)])
def test_the_interval_is_welchs(count):
    """Oracle: scipy's t test for unequal variances."""
    first = [math.sin(3.7 * n) for n in range(count[0])]
    second = [0.3 + 2 * math.cos(2.1 * n) for n in range(count[1])]
    interval = welch(first, second)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert interval.low == pytest.approx(expected.low, rel=1e-7)
    assert interval.high == pytest.approx(expected.high, rel=1e-7)
    assert interval.difference == pytest.approx(statistics.mean(second) - statistics.mean(first))


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 7.5, 40, 1000, 1e5])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975])
def test_students_quantile_is_that_of_scipy(freedom, probability):
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-7)


def test_one_seed_on_a_side_gives_no_interval():
    assert welch([1.0], [1.0, 2.0]) is None
    assert welch([1.0, 2.0], [2.0]) is None


def test_values_without_spread_give_an_interval_without_width():
    assert welch([1.0, 1.0], [3.0, 3.0]).low == welch([1.0, 1.0], [3.0, 3.0]).high == 2.0


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ((0.80, 0.81, 0.82), "better"),
        ((0.20, 0.21, 0.22), "worse"),
        ((0.50, 0.55, 0.45), "not told apart from luck"),
        ((0.80,), "no interval"),
    ],
)
def test_the_verdict_says_whether_luck_explains_the_difference(second, verdict):
    first = [run(f"a{seed}", seed, 0.1, value) for seed, value in enumerate((0.50, 0.51, 0.52))]
    found = compare([*first, *(run(f"b{seed}", seed, 0.2, value) for seed, value in enumerate(second))])
    (contrast,) = found.contrasts
    assert contrast.verdict == verdict
    assert contrast.difference == pytest.approx(statistics.mean(second) - 0.51)


def test_less_is_better_turns_the_verdict():
    runs = [run(f"{lr}{seed}", seed, lr, lr + seed / 100) for lr in (0.1, 0.9) for seed in range(3)]
    (contrast,) = compare(runs, ["val/accuracy"], modes={"val/accuracy": "min"}).contrasts
    assert contrast.verdict == "worse"


def test_equal_values_without_spread_are_no_difference():
    runs = [run(f"{lr}{seed}", seed, lr, 1.0) for lr in (0.1, 0.2) for seed in range(2)]
    assert compare(runs).contrasts[0].verdict == "no difference"


def test_the_reference_is_the_first_group_with_several_seeds_or_the_one_that_was_named():
    runs = [
        run("x", 0, 0.3, 0.9),
        *(run(f"a{seed}", seed, 0.1, 0.5) for seed in range(2)),
        *(run(f"b{seed}", seed, 0.2, 0.6) for seed in range(2)),
    ]
    assert compare(runs).reference == 1
    for name in ("b1", "runs/digits/b1", "runs/digits/b1/"):
        found = compare(runs, reference=name)
        assert found.reference == 2
        assert [contrast.group for contrast in found.contrasts] == [0, 1]
    assert compare(runs[:1]).reference == 0
    with pytest.raises(UserError, match=r"--reference b9: none of the runs"):
        compare(runs, reference="b9")


def test_a_run_without_a_recipe_is_a_group_of_its_own():
    unknown = [Run(source=name, name="digits", run_id=name, recipe=None, seed=0) for name in ("p", "q")]
    found = compare([*unknown, run("a", 0, 0.1, 0.5)])
    assert [group.members for group in found.groups] == [(0,), (1,), (2,)]
    assert not found.twins


def test_labels_are_ids_with_the_recipes_name_where_it_differs_and_never_alike():
    a, b, other = run("a", 0, 1), run("b", 0, 1), run("a", 0, 1, name="cifar")
    assert label_runs([a, b]) == ["a", "b"]
    assert label_runs([a, b, other]) == ["digits/a", "digits/b", "cifar/a"]
    twice = Run(source="elsewhere/digits/a", name="digits", run_id="a", recipe={})
    assert label_runs([a, twice]) == ["runs/digits/a", "elsewhere/digits/a"]
