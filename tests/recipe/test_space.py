"""A number in [0, 1) becomes a value of a range or a choice, and a grid is every combination."""

import itertools
import math

import numpy as np
import optuna
import pytest
from scipy import stats

from lightning_cv.recipe.space import Choice, Condition, Range, Space, is_searched, key_of, same

UNITS = (np.arange(20_000) + 0.5) / 20_000


def make_choice(path="c", keys=("a", "b"), when=()):
    return Choice(path=path, options=tuple((key, {"of": key}) for key in keys), when=when)


@pytest.mark.parametrize(
    ("parameter", "cdf"),
    [
        (Range(path="x", low=-2.0, high=6.0), stats.uniform(-2, 8).cdf),
        (Range(path="x", low=1e-4, high=1e-1, log=True), stats.loguniform(1e-4, 1e-1).cdf),
    ],
)
def test_even_numbers_become_the_distribution_that_is_meant(parameter, cdf):
    """The oracle is scipy: its distribution function undoes the mapping (row 131)."""
    values = np.array([parameter.at(unit) for unit in UNITS])
    assert np.allclose(cdf(values), UNITS, atol=1e-12)
    assert np.allclose([parameter.unit(value) for value in values], UNITS, atol=1e-12)


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_have_the_weights_that_optuna_gives_them(log):
    """n stands for (n - 1/2, n + 1/2), on a logarithmic axis too: log((n + 1/2) / (n - 1/2)) of the whole."""
    parameter = Range(path="x", low=1, high=6, log=log, integer=True)
    values = [parameter.at(unit) for unit in UNITS]
    assert all(type(value) is int for value in values)
    weight = {n: math.log((n + 0.5) / (n - 0.5)) if log else 1.0 for n in range(1, 7)}
    for n in range(1, 7):
        assert values.count(n) / len(values) == pytest.approx(weight[n] / sum(weight.values()), abs=2e-4)


@pytest.mark.parametrize("unit", [0.0, 1e-300, 0.5, 1 - 2**-53])
@pytest.mark.parametrize(
    "parameter",
    [
        Range(path="x", low=0.1, high=0.3),
        Range(path="x", low=1e-300, high=1e300, log=True),
        Range(path="x", low=3e-5, high=0.1, log=True),  # exp(log(x)) is smaller, larger
        Range(path="x", low=0.1, high=0.1 + 2e-17 + 1e-16),
        Range(path="x", low=3, high=4, integer=True),
        Range(path="x", low=1, high=2**53, log=True, integer=True),
    ],
)
def test_no_rounding_leaves_the_bounds(parameter, unit):
    """Optuna's own check of its distribution agrees."""
    value = parameter.at(unit)
    assert parameter.low <= value <= parameter.high
    kind = optuna.distributions.IntDistribution if parameter.integer else optuna.distributions.FloatDistribution
    distribution = kind(parameter.low, parameter.high, log=parameter.log)
    assert distribution._contains(distribution.to_internal_repr(value))


def test_every_option_has_the_same_share_and_is_found_by_its_key():
    choice = make_choice(keys=("a", 1, None))
    values = [choice.at(unit) for unit in UNITS]
    assert [values.count(key) for key in choice.keys] == pytest.approx([len(UNITS) / 3] * 3, abs=1)
    assert choice.option(1) == {"of": 1}
    with pytest.raises(KeyError):
        choice.option(True)


def test_true_is_not_one():
    assert same(1, 1.0)
    assert not same(1, True)
    assert key_of(1, [True, 1]) == 1
    with pytest.raises(KeyError):
        key_of(0, [False])


def test_points_of_a_logarithmic_range_have_equal_ratios():
    """Row 130; the decades are the numbers that one writes."""
    points = Range(path="x", low=1e-4, high=1e-1, log=True).spaced(4)
    assert points == (1e-4, 1e-3, 1e-2, 1e-1)
    points = Range(path="x", low=3e-5, high=0.7, log=True).spaced(9)
    ratios = [b / a for a, b in itertools.pairwise(points)]
    assert ratios == pytest.approx([(0.7 / 3e-5) ** (1 / 8)] * 8, rel=1e-10)
    assert (points[0], points[-1]) == (3e-5, 0.7)


def test_points_of_other_ranges():
    """Linear ones have equal distances; a single one is the middle; whole numbers come once each."""
    assert Range(path="x", low=0.8, high=0.99).spaced(3) == (0.8, 0.895, 0.99)
    assert Range(path="x", low=1e-4, high=1.0, log=True).spaced(1) == (0.01,)
    assert Range(path="x", low=1, high=3, integer=True).spaced(9) == (1, 2, 3)
    assert Range(path="x", low=16, high=256, log=True, integer=True).spaced(5) == (16, 32, 64, 128, 256)
    low, high = 1.2345678901987654, 2.3456789012345678  # 12 digits would round them inwards
    assert Range(path="x", low=low, high=high).spaced(3)[::2] == (low, high)


def test_a_grid_is_the_product_with_the_first_parameter_slowest():
    """The oracle is itertools (row 130)."""
    lr = Range(path="lr", low=1e-3, high=1e-1, log=True, points=3)
    depth = Range(path="depth", low=2, high=4, integer=True, points=2)
    space = Space((lr, depth, make_choice()))
    expected = itertools.product((1e-3, 1e-2, 1e-1), (2, 4), ("a", "b"))
    assert [tuple(values.values()) for values in space.grid()] == list(expected)


def test_a_conditional_parameter_multiplies_only_its_own_branch():
    """3 rates for b; under a 3 rates and 2 momenta: 3 + 6 points, each with exactly what is searched there."""
    under_a = (Condition(path="c", keys=("a",)),)
    momentum = Range(path="momentum", low=0.8, high=0.99, points=2, when=under_a)
    space = Space((make_choice(), Range(path="lr", low=1e-3, high=1e-1, log=True, points=3), momentum))
    points = list(space.grid())
    assert len(points) == 9
    assert len({tuple(sorted(values.items())) for values in points}) == 9
    assert all(("momentum" in values) == (values["c"] == "a") for values in points)


def test_conditions_chain_and_are_all_needed():
    """Brute force over all combinations: d is drawn under a, and only then e can be."""
    d = make_choice("d", ("x", "y"), (Condition(path="c", keys=("a",)),))
    e = Range(
        path="e", low=0.0, high=1.0, when=(Condition(path="c", keys=("a", "b")), Condition(path="d", keys=("y",)))
    )
    space = Space((make_choice(), d, e))
    for c, unit_d in itertools.product((0.1, 0.9), (0.1, 0.9)):
        values = space.draw({"c": c, "d": unit_d, "e": 0.25})
        expected = {"c": "a" if c < 0.5 else "b"}
        if c < 0.5:
            expected["d"] = "x" if unit_d < 0.5 else "y"
            if unit_d > 0.5:
                expected["e"] = 0.25
        assert values == expected
    assert not is_searched(e, {"c": "b"})


def test_a_recipe_gets_options_before_their_parts():
    lr = Range(path="c.lr", low=0.1, high=1.0)
    space = Space((make_choice(), lr))
    assert space.overrides({"c.lr": 0.5, "c": "b"}) == [("c", {"of": "b"}), ("c.lr", 0.5)]
    assert space.get("c.lr") is lr
    with pytest.raises(KeyError):
        space.get("nothing")
