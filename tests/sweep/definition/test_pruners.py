"""A sweep's pruner is Optuna's, with resources counted in validations."""

import statistics
import warnings

import optuna
import pytest

from lightning_cv.recipe.compose import Composed
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.definition.pruners import make_pruner, num_validations, pruner_options
from tests.sweep.written import write_sweep


def make(pruner: str | None, **sections):
    """The pruner of a sweep of 9 epochs."""
    sections.setdefault("fixed", "fixed:\n  trainer.max_epochs: 9")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return make_pruner(read_sweep(write_sweep(x=f"pruner: {pruner}" if pruner else None, **sections)))


@pytest.mark.parametrize(
    ("pruner", "kind", "options"),
    [
        (None, optuna.pruners.NopPruner, {}),
        ("none", optuna.pruners.NopPruner, {}),
        ("null", optuna.pruners.NopPruner, {}),
        ("{name: none}", optuna.pruners.NopPruner, {}),
        ("median", optuna.pruners.MedianPruner, {"_n_startup_trials": 5, "_n_warmup_steps": 0}),
        ("{name: median, n_warmup_steps: 3}", optuna.pruners.MedianPruner, {"_n_warmup_steps": 3}),
        ("{name: percentile, percentile: 25.0}", optuna.pruners.PercentilePruner, {"_percentile": 25.0}),
        ("hyperband", optuna.pruners.HyperbandPruner, {"_min_resource": 1, "_max_resource": 9}),
        ("{name: hyperband, max_resource: 27}", optuna.pruners.HyperbandPruner, {"_max_resource": 27}),
        ("asha", optuna.pruners.SuccessiveHalvingPruner, {"_min_resource": 1, "_reduction_factor": 4}),
        ("{name: asha, min_resource: auto}", optuna.pruners.SuccessiveHalvingPruner, {"_min_resource": None}),
        ("{name: wilcoxon, p_threshold: 0.2}", optuna.pruners.WilcoxonPruner, {"_p_threshold": 0.2}),
        ("{name: threshold, lower: 0.1}", optuna.pruners.ThresholdPruner, {"_lower": 0.1}),
        ("{name: patient, patience: 2}", optuna.pruners.PatientPruner, {"_patience": 2, "_wrapped_pruner": None}),
    ],
)
def test_each_name_makes_its_pruner_with_its_options(pruner, kind, options):
    """And Optuna's remark that one is experimental reaches nobody."""
    made = make(pruner)
    assert type(made) is kind
    assert {name: getattr(made, name) for name in options} == options


def test_patient_wraps_another_one():
    made = make("{name: patient, patience: 2, pruner: {name: hyperband, reduction_factor: 2}}")
    assert type(made._wrapped_pruner) is optuna.pruners.HyperbandPruner
    assert (made._wrapped_pruner._reduction_factor, made._wrapped_pruner._max_resource) == (2, 9)


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"max_epochs": 10}, 10),
        ({"max_epochs": 10, "check_val_every_n_epoch": 3}, 3),
        ({"max_epochs": 10, "val_check_interval": 0.25}, 40),
        ({"max_epochs": 10, "val_check_interval": 1.0, "max_steps": -1, "max_time": None}, 10),
        ({"max_epochs": 10, "val_check_interval": 100}, None),
        ({"max_epochs": 10, "max_steps": 500}, None),
        ({"max_epochs": 10, "max_time": "00:01:00:00"}, None),
        ({"max_epochs": -1}, None),
        ({"max_epochs": 2, "check_val_every_n_epoch": 3}, None),
        ({"max_epochs": 2, "check_val_every_n_epoch": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_number_of_validations_is_known_where_it_follows_from_the_recipe(trainer, expected):
    """Counted by hand from what Lightning documents of these options."""
    assert num_validations(Composed({"trainer": trainer}, {})) == expected


def test_hyperband_learns_its_resource_where_epochs_are_searched():
    space = "space:\n  trainer.max_epochs: {int: [2, 9]}"
    assert make("hyperband", space=space, fixed=None)._max_resource == "auto"
    sweep = read_sweep(write_sweep(space=space, fixed=None, x="pruner: {name: hyperband, max_resource: 5}"))
    assert pruner_options(sweep.pruner, sweep) == {"min_resource": 1, "max_resource": 5}


def decide(pruner, curves):
    """At which validation each trial is pruned, one trial after the other; None: at none."""
    study = optuna.create_study(study_name="a", direction="maximize", pruner=pruner)
    ends = []
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, 1):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                ends.append(step)
                break
        else:
            study.tell(trial, curve[-1])
            ends.append(None)
    return ends


def test_median_prunes_what_lies_below_the_median_of_the_earlier_trials():
    """Brute force over the validations after the warm-up; a pruned trial stops at one that it reported (row 134)."""
    curves = [[0.1 * ((7 * trial + 3 * step) % 10) for step in range(6)] for trial in range(12)]
    expected, complete = [], []
    for curve in curves:
        end = None
        for step in range(1, 7):
            best = max(curve[:step])
            # What lies below the warm-up passes: of validations counted from 1, one fewer than it says.
            if len(complete) >= 4 and step >= 2 and best < statistics.median(other[step - 1] for other in complete):
                end = step
                break
        expected.append(end)
        complete.extend([curve] if end is None else [])
    found = decide(make("{name: median, n_startup_trials: 4, n_warmup_steps: 2}"), curves)
    assert found == expected
    assert None in found
    assert len(set(found)) > 1


def test_successive_halving_keeps_the_best_third_at_each_rung():
    """Rungs at 1 and 3 validations: of 9 trials, each better than all before, none is cut; each worse one is."""
    rising = [[0.1 * trial] * 9 for trial in range(1, 10)]
    pruner = "{name: asha, reduction_factor: 3}"
    assert decide(make(pruner), rising) == [None] * 9
    falling = decide(make(pruner), rising[::-1])
    assert falling[0] is None
    assert set(falling[1:]) <= {1, 3}


@pytest.mark.parametrize(
    "pruner",
    [
        "{name: median, n_startup_trials: 5, n_warmup_steps: 0, interval_steps: 1, n_min_trials: 1}",
        "{name: percentile, percentile: 50.0, n_startup_trials: 5, n_warmup_steps: 0, interval_steps: 1}",
        "{name: hyperband, min_resource: 1, max_resource: auto, reduction_factor: 3, bootstrap_count: 0}",
        "{name: asha, min_resource: 1, reduction_factor: 4, min_early_stopping_rate: 0, bootstrap_count: 0}",
        "{name: wilcoxon, p_threshold: 0.1, n_startup_steps: 2}",
        "{name: threshold, lower: 0, upper: null, n_warmup_steps: 0, interval_steps: 1}",
        "{name: patient, patience: 1, min_delta: 0.0}",
    ],
)
def test_every_argument_of_a_pruner_can_be_given(pruner):
    """The oracle is the list of arguments in Optuna's documentation."""
    assert isinstance(make(pruner), optuna.pruners.BasePruner)
