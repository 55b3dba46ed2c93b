"""Does each trial run once, as often as it may be tried, with the values that are its own?"""

from __future__ import annotations

import json
import random
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import find
from lightning_cv.sweep.engine.claims import Claim, Claims
from lightning_cv.sweep.engine.study import OWNER, StudyPlace
from lightning_cv.sweep.storage.owners import Owners
from tests.sweep.searches import LR, place_of, write_sweep

ELSEWHERE = "elsewhere-7-abcdef elsewhere/7/123"


def claims_of(place: StudyPlace, me: str | None = None) -> Claims:
    return Claims(place, Owners(place.storage, place.sweep.name, **({"me": me} if me else {})))


def study_of(name: str, *, trials: int, more: str = "", me: str | None = None) -> tuple[StudyPlace, Claims]:
    place = place_of(write_sweep(name, trials=trials, more=more))
    return place, claims_of(place, me)


def get_as_far_as(claim: Claim, step: int) -> None:
    """What the trial's run would have written by then."""
    claim.folder.mkdir(parents=True, exist_ok=True)
    event = {"event": "validation", "epoch": 0, "step": step, "metrics": {"val/accuracy": 0.5}}
    with (claim.folder / "progress.jsonl").open("a") as file:
        file.write(f"{json.dumps(event)}\n")


# What is taken.


def test_trials_are_taken_in_the_order_of_their_numbers_each_once_with_its_recipe():
    """Oracle: the recipe of the sweep with the one value put in by hand, and what Optuna stored."""
    place, claims = study_of("s", trials=4)
    taken = [claims.take() for _ in range(4)]
    assert claims.take() is None
    assert [claim.number for claim in taken] == [0, 1, 2, 3]
    stored = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend("runs/s/study.journal"))
    ).trials
    fixed = {"max_epochs": 6, "deed": ""}
    for claim, trial in zip(taken, stored, strict=True):
        assert dict(claim.values) == trial.params
        assert claim.folder == place.results().trials[claim.number].folder
        expected = compose([read_recipe(find("digits_mlp"))], [(LR, repr(claim.values[LR]))])
        expected.values["trainer"] |= fixed
        assert claim.recipe.values == expected.values
    assert len({claim.folder for claim in taken}) == len({claim.values[LR] for claim in taken}) == 4


def test_a_trial_of_this_process_that_could_not_begin_is_taken_again(monkeypatch):
    """Its process lives, and yet nobody runs it."""
    place, claims = study_of("s", trials=2)

    def fail(self: Claims, *args: object) -> Claim:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(Claims, "_begin", fail)
        with pytest.raises(RuntimeError):
            claims.take()
    assert place.frozen()[0].state.name == "RUNNING"
    assert claims.take().number == 0
    assert claims.take().number == 1


def test_only_as_many_are_taken_as_are_wanted():
    """Of a study that was begun with more."""
    study_of("s", trials=5)
    place = place_of(Path("s.yaml"), trials=2)
    claims = claims_of(place)
    assert [claims.take().number, claims.take().number, claims.take()] == [0, 1, None]
    assert claims.num_left() == 2
    claims.end(0, "complete", scores=[0.5])
    claims.end(1, "failed", reason="x")
    assert claims.num_left() == 0


# How often it is tried.


def failing_attempt(steps: list[int], retries: int) -> int | None:
    """Oracle, by the words of the specification: the first death after which it was started `retries` times anew
    since it last got further than ever before."""
    for last in range(len(steps)):
        records = [n for n in range(last + 1) if all(steps[n] > earlier for earlier in steps[:n])]
        if last - records[-1] >= retries:
            return last
    return None


@pytest.mark.parametrize("seed", range(25))
def test_a_trial_that_dies_again_and_again_without_getting_further_fails(seed):
    """Steps at which it dies are drawn; a snapshot lets it begin at some earlier step, which is no progress."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    retries = draw.randrange(4)
    steps = [draw.randrange(6) for _ in range(12)]
    place, claims = study_of("s", trials=1, more=f"retries: {retries}")
    claim = claims.take()
    for attempt, step in enumerate(steps):
        get_as_far_as(claim, step)
        may = claims.may_try_again(0, "killed by SIGKILL")
        assert may == (attempt != failing_attempt(steps, retries))
        if not may:
            break
    [trial] = place.results().trials
    assert (trial.state == "failed") == (failing_attempt(steps, retries) is not None)
    if trial.state == "failed":
        reached = max(steps[: attempt + 1])
        assert trial.reason == f"killed by SIGKILL, {retries + 1} times at or before step {reached}"


def test_a_trial_that_was_given_back_has_all_its_tries_again():
    """A Ctrl-C, or the end of a job's time, is no failure of the trial."""
    _, claims = study_of("s", trials=1, more="retries: 1")
    claim = claims.take()
    get_as_far_as(claim, 10)
    assert claims.may_try_again(0, "killed")
    claims.give_back(0)
    assert claims.take().number == 0
    assert claims.may_try_again(0, "killed")
    assert not claims.may_try_again(0, "killed")


def test_a_process_that_died_is_counted_as_a_try_of_its_trial():
    """Two processes die with trial 0, the third one does not get it any more."""
    dead = "here-7-abcdef " + Owners(None, "s").me.partition(" ")[2].rpartition("/")[0] + "/1"  # type: ignore[arg-type]
    place, _ = study_of("s", trials=2, more="retries: 1")
    assert claims_of(place, dead).take().number == 0
    assert claims_of(place, f"{dead}1").take().number == 0
    assert claims_of(place).take().number == 1
    trial = place.results().trials[0]
    assert (trial.state, trial.reason) == ("failed", "the process that ran it died, 2 times at or before step 0")


def test_who_lost_a_trial_counts_no_try_of_the_one_who_has_it():
    """Whether that one has ended it or not."""
    place, theirs = study_of("s", trials=1, me=ELSEWHERE)
    theirs.take()
    storage = place.storage.optuna
    ours = claims_of(place)
    storage.set_trial_user_attr(place.frozen()[0]._trial_id, OWNER, ours._owners.me)
    assert not theirs.may_try_again(0, "killed")
    assert "attempt" not in place.frozen()[0].user_attrs
    assert ours.end(0, "complete", scores=[0.5])
    assert not theirs.may_try_again(0, "killed")
    assert place.results().trials[0].state == "complete"


# What is written down.


def test_an_end_is_written_down_once_with_all_that_belongs_to_it():
    place, claims = study_of("s", trials=3)
    for _ in range(3):
        claims.take()
    assert claims.end(0, "complete", scores=[0.25], time_s=1.23456)
    assert claims.end(1, "pruned", scores=[0.5], reason="median pruner")
    assert claims.end(2, "failed", reason="out of memory", time_s=0.0)
    assert not claims.end(0, "failed", reason="again")
    assert [(t.state, t.scores, t.reason, t.time_s) for t in place.results().trials] == [
        ("complete", (0.25,), "", 1.235),
        ("pruned", (0.5,), "median pruner", None),
        ("failed", None, "out of memory", 0.0),
    ]


@pytest.mark.filterwarnings("error")  # Optuna keeps the first value too, and warns
def test_a_validation_is_reported_once():
    """A trial that goes on reads its file from the beginning; what was handed over stays."""
    place, claims = study_of("s", trials=1)
    claim = claims.take()
    for value in (0.1, 0.9):
        assert claims.report(claim, 1, value) is False
    claims.report(claim, 2, 0.3)
    assert claims.reported(0) == {1: 0.1, 2: 0.3}
    claims.give_back(0)
    again = claims_of(place).take()
    claims.report(again, 2, 0.7)
    assert place.results().trials[0].reported == {1: 0.1, 2: 0.3}


def test_the_pruner_sees_what_other_trials_reported():
    """Oracle: by hand, 0.1 lies below the median 0.6 of the three that ended, 0.7 does not."""
    _, claims = study_of("s", trials=5, more="pruner: {name: median, n_startup_trials: 3, n_warmup_steps: 0}")
    for value in (0.5, 0.6, 0.9):
        claim = claims.take()
        assert not claims.report(claim, 1, value)
        claims.end(claim.number, "complete", scores=[value])
    assert claims.report(claims.take(), 1, 0.1)
    assert not claims.report(claims.take(), 1, 0.7)


def test_a_study_has_trained_once_a_trial_reported_or_took_time():
    _, claims = study_of("s", trials=3)
    claim = claims.take()
    assert not claims.any_trained()
    claims.end(0, "failed", time_s=0.0)
    assert not claims.any_trained()
    claim = claims.take()
    claims.report(claim, 1, 0.5)
    assert claims.any_trained()
