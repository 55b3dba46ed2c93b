"""Is the next sweep the region around the best trials, inside the old bounds, and can it be read?"""

import math
from pathlib import Path

import numpy as np
import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.space import Choice, Condition, Range
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.definition.spec import Named
from lightning_cv.sweep.definition.yaml_text import as_yaml
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.refine import refine
from tests.sweep.studies import (
    ACCURACY,
    BATCH,
    BATCHES,
    DECAY,
    LOSS,
    LR,
    LR_RANGE,
    NETWORK,
    NETWORKS,
    RECIPE,
    SIZE,
    WARMUP,
    WIDTH,
    WIDTH_RANGE,
    draws,
    finished,
    grid_study,
    make_sweep,
    random_study,
)

SCHEDULE = "model.init_args.schedule"


def scored(parameters, good, bad=(), **options):
    """The good trials by falling score, the first the best, and then the bad ones."""
    sweep = make_sweep(*parameters, **options)
    values = [*good, *bad]
    return StudyResults(sweep, tuple(finished(n, v, 1 - n / 100) for n, v in enumerate(values)))


def of_one(parameter, good, others=9):
    """What becomes of one range whose three best trials have these values; the others have the middle one."""
    bad = [{parameter.path: parameter.at(0.5)}] * others
    plain = refine(scored([parameter], [{parameter.path: value} for value in good], bad))
    return plain["space"][parameter.path]


@pytest.mark.parametrize(
    ("good", "bounds"),
    [
        ([10**-2.5, 1e-3, 1e-2], [1e-3, 1e-2]),  # they span a third: 1/3 to 2/3 of the three decades
        ([10**-2.5] * 3, [1.33e-3, 7.5e-3]),  # a point: a quarter around it, 10**-2.875 to 10**-2.125
        ([1e-1] * 3, [1.77e-2, 1e-1]),  # at the upper end: the upper quarter, from 10**-1.75
        ([1e-4] * 3, [1e-4, 5.63e-4]),  # at the lower end: up to 10**-3.25
        ([1e-2, 1e-4, 1e-1], [1.77e-3, 5.63e-2]),  # all of it: half around the best, 10**-2.75 to 10**-1.25
        ([1e-1, 1e-4, 1e-2], [3.16e-3, 1e-1]),  # the best at the upper end: the upper half, from 10**-2.5
    ],
)
def test_a_logarithmic_range_shrinks_to_what_the_best_quarter_spans(good, bounds):
    """Bounds in decades by hand: 12 trials, of which the best three count (row 128)."""
    assert of_one(LR_RANGE, good) == {"log_uniform": pytest.approx(bounds, rel=1e-12)}


@pytest.mark.parametrize(
    ("low", "high", "good", "bounds"),
    [
        (0.0, 1.0, [0.4, 0.3, 0.6], [0.3, 0.6]),
        (0.0, 1.0, [0.4] * 3, [0.275, 0.525]),
        (0.0, 1.0, [0.05] * 3, [0.0, 0.25]),
        (-2.0, 2.0, [0.1, -2.0, 2.0], [-0.9, 1.1]),
        (1000.0, 1001.0, [1000.5] * 3, [1000.375, 1000.625]),  # three digits would round this range away
    ],
)
def test_a_linear_range_shrinks_in_its_own_scale(low, high, good, bounds):
    """Bounds by hand; rounded outwards."""
    found = of_one(Range(path=DECAY, low=low, high=high), good)
    assert found == {"uniform": pytest.approx(bounds, abs=1e-12)}


@pytest.mark.parametrize(
    ("low", "high", "good", "bounds"),
    [
        (0, 100, [40, 30, 60], [30, 60]),
        (0, 100, [40] * 3, [28, 53]),  # 27.5 to 52.5, halves outwards
        (0, 10, [0, 0, 1], [0, 3]),  # 0 to 2.5
        (1, 2, [1, 2, 2], [1, 2]),  # two values, both good: nothing to take away
    ],
)
def test_a_range_of_whole_numbers_keeps_whole_bounds(low, high, good, bounds):
    """Bounds by hand, rounded to the nearest whole number."""
    found = of_one(Range(path=BATCH, low=low, high=high, integer=True), good)
    assert found == {"int": bounds}
    assert all(type(bound) is int for bound in found["int"])


def test_whole_numbers_and_choices_with_one_value_left_are_fixed():
    """The three best agree on 3 of 1 to 4 and on the batch size 64, which become fixed; the rate is still searched."""
    layers = Range(path="model.init_args.layers", low=1, high=4, integer=True)
    good = [{LR: 1e-2, layers.path: 3, BATCH: 64, DECAY: 1e-3}] * 3
    bad = [{LR: 1e-3, layers.path: 1, BATCH: 16, DECAY: 1e-3}] * 9
    plain = refine(scored([LR_RANGE, layers, BATCHES], good, bad, fixed={"trainer.max_epochs": 2}))
    assert plain["fixed"] == {"trainer.max_epochs": 2, layers.path: 3, BATCH: 64}
    assert list(plain["space"]) == [LR]
    assert type(plain["fixed"][layers.path]) is int


def test_choices_keep_the_options_of_the_best_quarter_in_their_order():
    """Of 16, 32, 64, 128 the three best have 128, 32 and 128."""
    plain = refine(
        scored([LR_RANGE, BATCHES], [{LR: 0.01, BATCH: size} for size in (128, 32, 128)], [{LR: 0.01, BATCH: 16}] * 9)
    )
    assert plain["space"][BATCH] == {"choice": [32, 128]}


def test_no_fewer_than_three_trials_count_and_of_many_a_quarter():
    """Of 4 trials three count, of 13 four, rounded up: the last that counts widens the range."""
    for number, counted in ((4, 3), (12, 3), (13, 4), (40, 10)):
        good = [{LR: 10**-2.5}] * (counted - 1) + [{LR: 10**-1.5}]
        bad = [{LR: 1e-4}] * (number - counted)
        assert refine(scored([LR_RANGE], good, bad))["space"][LR] == {"log_uniform": [3.16e-3, 3.17e-2]}


def test_less_is_better_where_the_objective_says_so():
    """Of a loss, the trials with the smallest scores are the region."""
    results = random_study(40, score=lambda v: (math.log10(v[LR]) + 3.5) ** 2, objectives=(LOSS,))
    low, high = refine(results)["space"][LR]["log_uniform"]
    assert low < 10**-3.5 < high < 1e-2


def test_pruned_and_failed_trials_do_not_count():
    """The scores of pruned trials, however good, leave the region where the complete ones are."""
    results = scored([LR_RANGE], [{LR: 1e-2}] * 3)
    pruned = [TrialResult(number=9 + n, state="pruned", values={LR: 1e-4}, scores=(5.0,)) for n in range(9)]
    assert refine(StudyResults(results.sweep, (*results.trials, *pruned))) == refine(results)


def options_of(plain, path):
    return plain["space"][path]


def test_a_condition_that_always_holds_goes_and_the_network_is_fixed():
    """All of the best have the resnet: it is fixed with all that its option says, and its width is searched always."""
    good = [{LR: 0.01, NETWORK: "resnet", WIDTH: width} for width in (16, 8, 16)]
    plain = refine(scored([LR_RANGE, NETWORKS, WIDTH_RANGE], good, [{LR: 0.01, NETWORK: "small"}] * 9))
    assert plain["fixed"] == {NETWORK: dict(NETWORKS.options)["resnet"]}
    assert "when" not in plain["space"][WIDTH]
    assert "log_int" in plain["space"][WIDTH]


def test_a_parameter_whose_condition_cannot_hold_any_more_goes():
    """None of the best has the resnet, whose width goes with it."""
    good = [{LR: 0.01, NETWORK: "small"}] * 3
    bad = [{LR: 0.01, NETWORK: "resnet", WIDTH: 16}] * 9
    plain = refine(scored([LR_RANGE, NETWORKS, WIDTH_RANGE], good, bad))
    assert list(plain["space"]) == [LR]
    assert plain["fixed"] == {NETWORK: dict(NETWORKS.options)["small"]}


def test_conditions_are_cut_down_to_the_options_that_are_left():
    """Of a, b, c the best have a and b; what is searched under b and c is searched under b, in the region of b's."""
    kind = Choice(path="model.kind", options=tuple((key, key) for key in "abc"))
    inner = Range(path="model.depth", low=0, high=1, when=(Condition(path="model.kind", keys=("b", "c")),))
    always = Range(path="model.width", low=0, high=1, when=(Condition(path="model.kind", keys=("a", "b")),))
    good = [
        {"model.kind": "a", "model.width": 0.5},
        {"model.kind": "b", "model.depth": 0.1, "model.width": 0.5},
        {"model.kind": "b", "model.depth": 0.4, "model.width": 0.5},
    ]
    plain = refine(scored([kind, inner, always], good, [{"model.kind": "c", "model.depth": 0.9}] * 9))
    assert plain["space"]["model.depth"] == {"uniform": [0.1, 0.4], "when": {"model.kind": "b"}}
    assert plain["space"]["model.width"] == {"uniform": [0.375, 0.625]}


def test_what_lies_inside_an_option_keeps_its_condition():
    """A sweep refuses a path inside a searched one without a condition, even one that always holds."""
    nets = Choice(path=NETWORK, options=(*NETWORKS.options, ("wide", dict(NETWORKS.options)["resnet"])))
    inside = Range(path=WIDTH, low=4, high=64, integer=True, when=(Condition(path=NETWORK, keys=("resnet", "wide")),))
    good = [{NETWORK: key, WIDTH: 20} for key in ("resnet", "wide", "wide")]
    plain = refine(scored([nets, inside], good, [{NETWORK: "small"}] * 9))
    assert plain["space"][WIDTH]["when"] == {NETWORK: ["resnet", "wide"]}


def test_a_single_value_under_a_condition_stays_a_choice():
    """Fixing it would set it where its condition does not hold."""
    few = Range(path=WIDTH, low=1, high=3, integer=True, when=(Condition(path=NETWORK, keys=("resnet",)),))
    good = [{NETWORK: "resnet", WIDTH: 2}, {NETWORK: "small"}, {NETWORK: "resnet", WIDTH: 2}]
    plain = refine(scored([NETWORKS, few], good, [{NETWORK: "small"}] * 9))
    assert plain["space"][WIDTH] == {"choice": [2], "when": {NETWORK: "resnet"}}


def test_epochs_and_a_constant_rate_are_fixed_with_the_warmup_of_the_recipe():
    """The schedule of the recipe warms up for 20 steps, and so does the constant one (row 128)."""
    results = random_study(16, fixed={"trainer.max_epochs": 2})
    plain = refine(results, epochs=9, constant_rate=True, trials=5)
    constant = {"class_path": "lightning_cv.optim.Constant", "init_args": {"warmup_steps": 20}}
    assert plain["fixed"] == {"trainer.max_epochs": 9, SCHEDULE: constant}
    assert plain["trials"] == 5
    assert refine(results)["fixed"] == {"trainer.max_epochs": 2}
    assert refine(results)["trials"] == 16


def test_a_constant_rate_ends_the_search_of_the_schedule_but_not_of_its_warmup():
    """Of two paths inside the schedule, the warm-up, which the constant one has too, is still searched."""
    warmup = Range(path=WARMUP, low=0, high=100, integer=True)
    final = Range(path=f"{SCHEDULE}.init_args.final_factor", low=0, high=1)
    fixed = {f"{SCHEDULE}.init_args.power": 2}
    good = [{LR: 0.01, WARMUP: 50, final.path: 0.5}] * 12
    plain = refine(scored([LR_RANGE, warmup, final], good, fixed=fixed), constant_rate=True)
    assert list(plain["space"]) == [LR, WARMUP]
    assert list(plain["fixed"]) == [SCHEDULE]
    assert list(refine(scored([LR_RANGE, warmup, final], good))["space"]) == [LR, WARMUP, final.path]


@pytest.mark.parametrize("schedule", ["", "    schedule: null\n"])
def test_where_there_is_no_schedule_there_is_none_to_turn_off(schedule):
    """A recipe without one has a constant rate already; a fixed path that it does not state would be refused."""
    lines = [line + "\n" for line in RECIPE.splitlines() if "schedule" not in line]
    results = random_study(16, recipe="".join(lines) + schedule)
    assert "fixed" not in refine(results, constant_rate=True)


def test_the_grid_keeps_its_points_and_shrinks():
    """The 3 x 3 grid around the best of nine; of whole numbers no more points than there are numbers."""
    study = grid_study(3)
    ranges = [Range(**{**vars(parameter), "points": 3}) for parameter in study.sweep.space.parameters]
    sweep = make_sweep(*ranges, sampler=Named("grid"), trials=8)
    plain = refine(StudyResults(sweep, study.trials))
    assert plain["sampler"] == {"name": "grid", "seed": 1}
    assert [entry["points"] for entry in plain["space"].values()] == [3, 3]
    assert plain["trials"] == 8
    whole = Range(path=BATCH, low=1, high=9, integer=True, points=9)
    sweep = make_sweep(whole, sampler=Named("grid"), trials=9)
    plain = refine(StudyResults(sweep, tuple(finished(n, {BATCH: n + 1}, -abs(n - 4)) for n in range(9))))
    assert plain["space"][BATCH] == {"int": [4, 6], "points": 3}
    assert "trials" not in plain


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (lambda: random_study(2), "digits_lr has 2 complete trials; needed: 3 or more"),
        (lambda: scored([BATCHES], [{BATCH: 16}] * 9), "nothing is left to search"),
        (lambda: StudyResults(make_sweep(LR_RANGE, objectives=(ACCURACY, SIZE)), ()), "has 2 objectives"),
        (lambda: StudyResults(make_sweep(LR_RANGE, listed=({LR: 0.1},)), ()), "were listed"),
    ],
)
def test_what_cannot_be_refined_is_refused_in_one_line(results, said):
    """Too few trials, several objectives, listed trials, nothing left."""
    with pytest.raises(UserError, match=said) as caught:
        refine(results())
    assert "\n" not in str(caught.value)


def test_epochs_inside_what_is_searched_are_refused():
    """Where the whole trainer is a choice, the epochs are part of its options."""
    trainer = Choice(path="trainer", options=(("short", {"max_epochs": 1}), ("long", {"max_epochs": 9})))
    with pytest.raises(UserError, match=r"trainer\.max_epochs lies inside trainer, which is searched"):
        refine(scored([LR_RANGE, trainer], [{LR: 0.1, "trainer": "long"}] * 5), epochs=3)


def random_space(generator):
    """Six parameters of all kinds, three with random bounds, one of them conditional."""
    ranges = []
    for path, log in ((LR, True), (DECAY, False)):
        low = 10 ** generator.uniform(-5, 3)
        ranges.append(Range(path=path, low=low, high=low * 10 ** generator.uniform(0.1, 4 if log else 1.5), log=log))
    first = int(generator.integers(1, 50))
    last = first + int(generator.integers(1, 200))
    ranges.append(Range(path=WARMUP, low=first, high=last, integer=True, log=bool(generator.integers(2))))
    return [*ranges, BATCHES, NETWORKS, WIDTH_RANGE]


@pytest.mark.parametrize("block", range(8))
def test_the_new_region_lies_in_the_old_one_around_the_best_and_is_narrower(block):
    """Of 200 random studies: every bound, the best trial, the width, and what the sweep's own reader makes of it."""
    Path("recipe.yaml").write_text(RECIPE)
    for seed in range(25 * block, 25 * (block + 1)):
        generator = np.random.default_rng(seed)
        parameters = random_space(generator)
        sweep = make_sweep(*parameters, trials=int(generator.integers(3, 60)), seed=seed)
        values = draws(sweep.space, sweep.trials, seed)
        trials = tuple(finished(n, v, float(generator.normal())) for n, v in enumerate(values))
        results = StudyResults(sweep, trials)
        best = results.ranked()[0].values
        plain = {**refine(results), "recipe": "recipe.yaml"}
        for parameter in parameters:
            entry = plain["space"].get(parameter.path)
            if entry is None:
                assert parameter.path in plain["fixed"] or parameter.path not in best
            elif isinstance(parameter, Range) and "choice" not in entry:
                check_range(parameter, entry[parameter.kind], best.get(parameter.path))
            elif parameter.path in best:
                assert best[parameter.path] in entry["choice"]
        Path("next.yaml").write_text(as_yaml(plain, ["Next."]))
        assert read_recipe(Path("next.yaml")).values == plain
        read = read_sweep(Path("next.yaml"))
        assert (read.seed, read.trials) == (seed + 1, sweep.trials)


def check_range(old, new, best):
    """Inside the old bounds, a quarter to half as wide up to rounding, and around the best trial's value."""
    low, high = new
    assert old.low <= low < high <= old.high
    if best is not None:
        assert low <= best <= high
    width = old.unit(high) - old.unit(low)
    if not old.integer:
        assert 0.25 - 1e-9 <= width <= 0.5 * 1.05
    elif old.high - old.low > 2:
        assert (low, high) != (old.low, old.high)


def test_the_text_begins_with_its_header_and_reads_back():
    """The refined sweep with a header of two lines."""
    plain = refine(random_study(16))
    text = as_yaml(plain, ["Around the best.", "", "Run: it"])
    assert text.startswith("# Around the best.\n#\n# Run: it\nrecipe: digits_mlp\nobjective:")
    Path("a.yaml").write_text(text)
    assert read_recipe(Path("a.yaml")).values == plain
