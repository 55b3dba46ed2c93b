"""Is a study what its sweep says, does it go on with the same one only, and what does it say of its trials?"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from lightning_cv.errors import UserError
from lightning_cv.recipe.shipped import find
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.engine.session import begin_study
from lightning_cv.sweep.engine.study import OWNER, REASON, RUN, TIME_S, StudyPlace, open_study
from lightning_cv.sweep.report.confirm import confirm_sweep
from lightning_cv.sweep.storage.base import open_storage
from tests.sweep.searches import LR, place_of, write_sweep

TRIALS = 5


def changed(path: Path, old: str, new: str) -> Path:
    """The same sweep with another text in the place of one."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def set_trial(place: StudyPlace, number: int, state: TrialState, scores: list[float] | None = None, **said) -> None:
    """Bring a trial of a study to a state, with these attributes, by Optuna's own means."""
    storage = place.storage.optuna
    trial = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(place.sweep.name), number)
    for name, value in said.items():
        storage.set_trial_user_attr(trial, name, value)
    if state is not TrialState.WAITING:
        storage.set_trial_state_values(trial, state, scores)


# How many trials there are, and where their runs are.


def test_there_are_as_many_trials_as_wanted_however_often_it_is_opened():
    path = write_sweep("s", trials=TRIALS)
    assert [len(place_of(path).frozen()) for _ in range(3)] == [TRIALS] * 3
    assert len(place_of(path, trials=TRIALS + 3).frozen()) == TRIALS + 3


def test_where_fewer_are_wanted_later_those_that_never_began_are_left_out():
    """One that runs, or has ended, counts however high its number is."""
    path = write_sweep("s", trials=TRIALS)
    place = place_of(path)
    set_trial(place, 3, TrialState.RUNNING)
    set_trial(place, 4, TrialState.FAIL)
    fewer = place_of(path, trials=2)
    assert [(trial.number, trial.state) for trial in fewer.results().trials] == [
        (0, "waiting"),
        (1, "waiting"),
        (3, "running"),
        (4, "failed"),
    ]


def test_the_run_of_a_trial_has_one_name_for_good_and_no_other_study_has_it():
    """The names are ids in W&B: also a study of the same name that was begun anew has others."""
    path = write_sweep("s", trials=TRIALS)
    first, again = place_of(path), place_of(path)
    names = [first.run_name(number) for number in range(1001)]
    assert [again.run_name(number) for number in range(1001)] == names
    assert all(re.fullmatch(rf"trial-{number:03d}-[0-9a-f]{{6}}", name) for number, name in enumerate(names))
    Path("runs/s/study.journal").unlink()
    anew = place_of(path)
    assert not set(names).intersection(anew.run_name(number) for number in range(1001))


# Which sweep may go on with it.


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[1.0e-4, 1.0e-1]", "[1.0e-5, 1.0e-1]", rf"space\.{LR}\.log_uniform was \[0.0001, 0.1\], is \[1e-05, 0.1\]"),
        ("log_uniform", "choice", rf"space\.{LR}\.log_uniform was \[0.0001, 0.1\], is None and 1 more"),
        ("mode: max", "mode: min", "objective.mode was max, is min"),
        ("val/accuracy", "val/loss", "objective.metric was val/accuracy, is val/loss"),
        ("seed: 3", "seed: 4", "sampler.seed was 3, is 4"),
        ("name: random", "name: qmc", "sampler.name was random, is qmc"),
        ("max_epochs: 6", "max_epochs: 7", "trainer.max_epochs was 6, is 7 and 1 more"),
        ("recipe:", "pick: last\nrecipe:", "pick was best, is last"),
        ("recipe:", "name: s\nrecipe: digits_resnet #", "model.init_args.network"),
    ],
)
def test_another_sweep_is_refused_in_one_line_that_names_what_differs(old, new, said):
    path = write_sweep("s", trials=TRIALS)
    place_of(path)
    with pytest.raises(UserError, match=rf"^study s \(runs/s/study\.journal\) was begun with another sweep: .*{said}"):
        place_of(changed(path, old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("trials: 5", "trials: 7"),
        ("recipe: digits_mlp", "recipe: copy.yaml"),
        ("trials:", "retries: 5\ntrials:"),
        ("trials:", "pruner: {name: median}\ntrials:"),
        ("1.0e-1]", "0.1]"),
        ("# A sweep", "# Another word"),
    ],
)
def test_how_much_how_patiently_and_where_may_change(old, new):
    """The recipe may lie elsewhere, as long as it says the same."""
    Path("copy.yaml").write_text(find("digits_mlp").read_text())
    path = write_sweep("s", trials=TRIALS, more="# A sweep")
    place_of(path)
    again = place_of(changed(path, old, new))
    assert again.sweep.num_trials == len(again.frozen())


def test_what_goes_on_is_what_was_said_last():
    """A study that goes on with a pruner can go on without one, and says so the next time it is compared."""
    path = write_sweep("s", trials=TRIALS, more="pruner: {name: median}")
    place_of(path)
    place_of(changed(path, "pruner: {name: median}", ""))
    assert "pruner" not in place_of(path).load().user_attrs["sweep"]


def test_listed_trials_may_become_more_or_fewer_but_no_others():
    """The rest of them is trained beside what was trained before."""
    place = place_of(write_sweep("s", trials=TRIALS))
    for number in range(3):
        storage = place.storage.optuna
        trial = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name("s"), number)
        distribution = optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
        storage.set_trial_param(trial, LR, 10.0 ** -(number + 1), distribution)
        set_trial(place, number, TrialState.COMPLETE, [0.1 * number])
    sweep = confirm_sweep(place.results(), top=2, seeds=2)
    assert len(begin_study(sweep, Path("runs")).frozen()) == 4
    longer = confirm_sweep(place.results(), top=2, seeds=3)
    assert len(begin_study(longer, Path("runs")).frozen()) == 6
    assert len(begin_study(sweep, Path("runs")).results().trials) == 4
    other = dataclasses.replace(longer, listed=({**longer.listed[0], LR: 0.05}, *longer.listed[1:]))
    with pytest.raises(UserError, match=rf"listed\.0\.{LR} was 0.001, is 0.05"):
        begin_study(other, Path("runs"))


@pytest.mark.parametrize("trials", [0, 1])
def test_a_study_of_another_program_is_used_only_while_it_is_empty(trials):
    Path("runs/s").mkdir(parents=True)
    storage = open_storage(None, Path("runs/s"))
    study = optuna.create_study(study_name="s", storage=storage.optuna, direction="maximize")
    for _ in range(trials):
        study.ask()
    sweep = read_sweep(write_sweep("s", trials=TRIALS))
    if trials:
        with pytest.raises(UserError, match=r"holds a study s of another program; give another --name"):
            open_study(sweep, storage, Path("runs/s"))
    else:
        assert len(open_study(sweep, storage, Path("runs/s")).frozen()) == TRIALS


# What it says of its trials.


def test_the_results_are_what_the_storage_holds():
    """Oracle: what was written with Optuna's own means."""
    place = place_of(write_sweep("s", trials=TRIALS))
    storage = place.storage.optuna
    study = place.load(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    lr = trial.suggest_float(LR, 1e-4, 1e-1, log=True)
    for number, value in ((3, 0.3), (1, 0.1), (2, 0.2)):
        trial.report(value, number)
    set_trial(place, 0, TrialState.COMPLETE, [0.3], **{RUN: "trial-000-x", TIME_S: 12.5, OWNER: "me"})
    set_trial(place, 1, TrialState.PRUNED, [0.2], **{REASON: "median pruner, after validation 2"})
    set_trial(place, 2, TrialState.FAIL, **{REASON: "out of memory"})
    set_trial(place, 3, TrialState.RUNNING)
    assert storage.get_n_trials(storage.get_study_id_from_name("s")) == TRIALS
    first, pruned, failed, running, waiting = place.results().trials
    assert [t.state for t in place.results().trials] == ["complete", "pruned", "failed", "running", "waiting"]
    assert (dict(first.values), first.scores, first.time_s) == ({LR: lr}, (0.3,), 12.5)
    assert list(first.reported.items()) == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert first.folder == Path("runs/s/trial-000-x")
    assert (pruned.scores, pruned.reason, pruned.folder) == ((0.2,), "median pruner, after validation 2", None)
    assert (failed.scores, failed.reason) == (None, "out of memory")
    assert (running.scores, dict(waiting.values)) == (None, {})


def test_optuna_knows_the_names_and_directions_of_the_objectives():
    """So that optuna-dashboard shows them; the directions are what its samplers and pruners go by."""
    path = write_sweep("s", trials=1)
    changed(path, "{metric: val/accuracy, mode: max}", "[{metric: val/accuracy}, {metric: run/time_s}]")
    study = place_of(path).load()
    assert study.metric_names == ["val/accuracy", "run/time_s"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
