"""Planned trials are the same whoever draws them; the samplers that learn find better ones than chance."""

import itertools
import math
import statistics
import threading
import warnings

import numpy as np
import optuna
import pytest
from scipy import stats

from lightning_cv.recipe.space import Choice, Condition, Range
from lightning_cv.sweep.definition.samplers import make_sampler, suggest
from tests.sweep.written import begin, make_study, make_sweep

LR = Range(path="lr", low=1e-4, high=1e-1, log=True, points=3)
DECAY = Range(path="decay", low=1e-4, high=1.0, log=True, points=3)
DEPTH = Range(path="depth", low=2, high=9, integer=True, points=2)
WIDTH = Range(path="width", low=8, high=512, log=True, integer=True, points=2)
KIND = Choice(path="kind", options=(("sgd", {"class_path": "a.B"}), ("adamw", "a.C"), (3, None)))
MOMENTUM = Range(path="momentum", low=0.8, high=0.99, points=2, when=(Condition(path="kind", keys=("sgd", 3)),))
NESTEROV = Choice(
    path="nesterov",
    options=((True, True), (False, False)),
    when=(Condition(path="kind", keys=("sgd",)),),
)
TREE = (KIND, LR, MOMENTUM, NESTEROV, DEPTH, WIDTH)

PLANNED = ("random", "grid", "qmc")
LEARNING = ("tpe", "gp", "cmaes")


def draw(sweep, number):
    """The values of a sweep's first trials, one after the other."""
    study = make_study(sweep)
    found = []
    for _ in range(number):
        trial, values = begin(study, sweep)
        found.append(values)
        study.tell(trial, [0.0] * len(sweep.objectives))
    return found


def test_logarithms_of_random_rates_are_uniform():
    """Kolmogorov-Smirnov, 500 draws: the distance lies below the critical one at 1% (row 131)."""
    values = [trial["lr"] for trial in draw(make_sweep(LR), 500)]
    distance = stats.kstest(np.log(values), stats.uniform(math.log(1e-4), math.log(1e3)).cdf).statistic
    assert distance < stats.kstwo.ppf(0.99, 500)
    linear = stats.kstest(values, stats.uniform(1e-4, 0.0999).cdf).statistic
    assert linear > stats.kstwo.ppf(0.99, 500), "a linear draw would be seen"


def test_random_draws_of_different_parameters_trials_and_seeds_are_unrelated():
    """Rank correlations of 500 pairs stay below the critical value at 0.1%: 3.29 / sqrt(499)."""
    trials = draw(make_sweep(LR, DECAY), 500)
    rates, decays = ([trial[path] for trial in trials] for path in ("lr", "decay"))
    other = [trial["lr"] for trial in draw(make_sweep(LR, seed=1), 500)]
    for left, right in ((rates, decays), (rates, other), (rates[1:], rates[:-1])):
        assert abs(stats.spearmanr(left, right).statistic) < 3.29 / math.sqrt(499)


def test_random_search_tries_nine_rates_where_a_grid_tries_three():
    """Nine trials each (rows 130 and 131)."""
    on_grid = draw(make_sweep(LR, DECAY, sampler="grid"), 9)
    assert [len({trial[path] for trial in on_grid}) for path in ("lr", "decay")] == [3, 3]
    at_random = draw(make_sweep(LR, DECAY), 9)
    assert [len({trial[path] for trial in at_random}) for path in ("lr", "decay")] == [9, 9]


def test_trials_of_a_grid_are_its_points_in_order():
    """The oracle is itertools: the first parameter changes slowest; ratios are equal (rows 127 and 130)."""
    trials = draw(make_sweep(LR, DECAY, sampler="grid"), 9)
    rates = (1e-4, math.sqrt(1e-5), 1e-1)
    assert [trial["lr"] for trial in trials] == pytest.approx(list(np.repeat(rates, 3)), rel=1e-11)
    assert [trial["decay"] for trial in trials] == pytest.approx([1e-4, 1e-2, 1.0] * 3, rel=1e-11)


def test_a_grid_with_conditions_has_every_branch():
    """sgd: 3 rates x 2 momenta x 2 nesterov; adamw: 3 rates; 3: 3 rates x 2 momenta; each x 2 depths x 2 widths."""
    sweep = make_sweep(*TREE, sampler="grid", trials=None)
    assert sweep.num_trials == (12 + 3 + 6) * 4
    trials = draw(sweep, sweep.num_trials)
    assert len({tuple(sorted(trial.items())) for trial in trials}) == sweep.num_trials


@pytest.mark.parametrize("sampler", [*PLANNED, *LEARNING])
def test_a_parameter_is_drawn_only_under_its_condition(sampler):
    """And what Optuna has stored lies in its own distribution, with logarithmic axes where they are meant."""
    sweep = make_sweep(*TREE, sampler=sampler, trials=84)
    study = make_study(sweep)
    for number in range(24 if sampler == "gp" else 84):
        trial, values = begin(study, sweep)
        assert ("momentum" in values) == (values["kind"] in ("sgd", 3))
        assert ("nesterov" in values) == (values["kind"] == "sgd")
        assert {type(values[path]) for path in ("depth", "width")} == {int}
        assert type(values["lr"]) is float
        study.tell(trial, number % 7)
    assert {trial.params["kind"] for trial in study.trials} == {"sgd", "adamw", 3}
    for trial in study.trials:
        for path, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(trial.params[path]))
            assert getattr(distribution, "log", None) == {
                "lr": True,
                "width": True,
                "depth": False,
                "momentum": False,
            }.get(path)


@pytest.mark.parametrize("sampler", PLANNED)
@pytest.mark.parametrize("num_workers", [1, 16])
def test_planned_trials_are_the_same_with_any_number_of_workers_and_after_a_resume(sampler, num_workers):
    """Threads take trials as they come, and another study on the same storage goes on after half of them."""
    sweep = make_sweep(*TREE, sampler=sampler)
    expected = draw(sweep, 40)
    storage = optuna.storages.InMemoryStorage()
    found, lock = {}, threading.Lock()

    def work(study, until):
        while True:
            with lock:
                if len(study.trials) >= until:
                    return
                trial = study.ask()
            own = optuna.load_study(study_name="a", storage=storage, sampler=make_sampler(sweep, trial.number))
            values = suggest(optuna.Trial(own, trial._trial_id), sweep)
            with lock:
                found[trial.number] = values
                study.tell(trial, trial.number * 0.6 % 1)

    for until in (20, 40):
        study = make_study(sweep, storage)
        threads = [threading.Thread(target=work, args=(study, until)) for _ in range(num_workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[number] for number in range(40)] == expected


@pytest.mark.parametrize("sampler", PLANNED)
def test_planned_trials_are_the_same_in_whichever_order_they_are_drawn(sampler):
    """Also by one sampler that is not made afresh."""
    sweep = make_sweep(*TREE, sampler=sampler)
    expected = draw(sweep, 30)
    study = make_study(sweep)
    trials = [study.ask() for _ in range(30)]
    study.sampler = make_sampler(sweep, 0)
    np.random.default_rng(0).shuffle(trials)
    assert {trial.number: suggest(trial, sweep) for trial in trials} == dict(enumerate(expected))


def test_a_trial_that_goes_on_keeps_its_values():
    """What is stored is not drawn again, even if the seed were another."""
    sweep = make_sweep(*TREE)
    study = make_study(sweep)
    trial, values = begin(study, sweep)
    study.sampler = make_sampler(make_sweep(*TREE, seed=5), 0)
    assert suggest(optuna.Trial(study, trial._trial_id), sweep) == values


def test_random_draws_do_not_depend_on_what_else_is_searched():
    """So that a parameter that is added leaves the others as they were."""
    alone = draw(make_sweep(LR), 5)
    assert [{"lr": trial["lr"]} for trial in draw(make_sweep(DECAY, *TREE), 5)] == alone


def test_listed_trials_are_those_of_the_list():
    listed = ({"kind": "adamw", "lr": 0.01}, {"kind": "sgd", "lr": 0.02, "momentum": 0.9})
    sweep = make_sweep(KIND, LR, MOMENTUM, sampler="tpe", listed=listed)
    assert sweep.num_trials == 2
    assert draw(sweep, 2) == list(listed)


@pytest.mark.parametrize("seed", [0, 1])
def test_sobol_points_are_stratified(seed):
    """Each box of 2^-a x 2^-b with a + b = 5 holds one of the first 32 points: a (0, 5, 2)-net in base 2."""
    x = Range(path="x", low=-3.0, high=5.0)
    trials = draw(make_sweep(LR, x, sampler="qmc", seed=seed), 32)
    units = [(LR.unit(trial["lr"]), x.unit(trial["x"])) for trial in trials]
    for a in range(6):
        boxes = {(math.floor(u * 2**a), math.floor(v * 2 ** (5 - a))) for u, v in units}
        assert len(boxes) == 32, a
    assert trials != draw(make_sweep(LR, x, sampler="qmc", seed=seed + 10), 32)


@pytest.mark.parametrize("sampler", LEARNING)
def test_what_a_learning_sampler_draws_at_random_follows_from_seed_and_number(sampler):
    """Two workers that begin together draw different trials; the same study the same ones; another seed others."""
    sweep = make_sweep(LR, DECAY, sampler=sampler)

    def first_draws(sweep):
        study = make_study(sweep)
        trials = [study.ask() for _ in range(4)]
        found = []
        for trial in trials:
            study.sampler = make_sampler(sweep, trial.number)
            found.append(suggest(trial, sweep))
        return found

    draws = first_draws(sweep)
    assert len({values["lr"] for values in draws}) == 4
    assert first_draws(sweep) == draws
    assert first_draws(make_sweep(LR, DECAY, sampler=sampler, seed=1)) != draws


BRANIN = (Range(path="x", low=-5.0, high=10.0), Range(path="y", low=0.0, high=15.0))


def branin(x, y):
    """Branin's function, minimum 0.397887 (Jones et al. 1998, the usual constants)."""
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10


def best_of(sampler, seed, number):
    """The best of that many trials, each with a sampler of its own."""
    sweep = make_sweep(*BRANIN, sampler=sampler, seed=seed)
    study = make_study(sweep)
    for _ in range(number):
        trial, values = begin(study, sweep)
        study.tell(trial, branin(**values))
    return study.best_value


def test_branin_has_its_published_minimum():
    assert branin(math.pi, 2.275) == pytest.approx(0.397887, abs=1e-6)


@pytest.mark.parametrize(("sampler", "num_seeds", "number"), [("tpe", 5, 40), ("cmaes", 5, 40), ("gp", 1, 20)])
def test_samplers_that_learn_beat_the_median_of_random_search(sampler, num_seeds, number):
    """Median over seeds, against 40 random trials of 31 seeds (row 132); GP needs half as many trials."""
    chance = statistics.median(best_of("random", seed, 40) for seed in range(31))
    assert statistics.median(best_of(sampler, seed, number) for seed in range(num_seeds)) < chance


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc", "tpe", "gp"])
def test_several_objectives_are_searched(sampler):
    """One is the other's contrary: every trial is on the front; after its startup the sampler still draws."""
    options = {"n_startup_trials": 4} if sampler in ("tpe", "gp") else {}
    sweep = make_sweep(LR, DECAY, sampler=sampler, modes=("min", "max"), options=options)
    study = make_study(sweep)
    for _ in range(8):
        trial, values = begin(study, sweep)
        study.tell(trial, [values["lr"], values["lr"]])
    assert len(study.best_trials) == 8


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("tpe", {}),
        ("tpe", {"group": True}),
        ("cmaes", {"use_separable_cma": True}),
        ("gp", {"deterministic_objective": True}),
    ],
)
def test_nothing_is_said_of_experiments_or_of_draws_by_themselves(sampler, options, caplog):
    """Neither a warning nor a line of Optuna's log at the level that is shown, with conditions too."""
    optuna.logging.enable_propagation()
    sweep = make_sweep(*TREE, sampler=sampler, options={"n_startup_trials": 2, **options})
    study = make_study(sweep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(8):
            trial, _ = begin(study, sweep)
            study.tell(trial, number)
    optuna.logging.disable_propagation()
    assert [record.message for record in caplog.records] == []


def test_the_order_of_the_parameters_gives_the_order_of_the_grid():
    assert draw(make_sweep(DECAY, LR, sampler="grid"), 9) != draw(make_sweep(LR, DECAY, sampler="grid"), 9)
    pairs = [tuple(trial.values()) for trial in draw(make_sweep(KIND, DEPTH, sampler="grid"), 6)]
    assert pairs == list(itertools.product(("sgd", "adamw", 3), (2, 9)))
