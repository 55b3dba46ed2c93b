"""Whose trial is it: of a process that died, of one on another machine, of one that was thought dead?"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lightning_cv.launch.programs import Programs
from lightning_cv.sweep.engine import trial as trial_module
from lightning_cv.sweep.engine.claims import Claims
from lightning_cv.sweep.engine.study import OWNER, StudyPlace
from lightning_cv.sweep.engine.trial import TrialRun
from lightning_cv.sweep.storage import owners as owners_module
from lightning_cv.sweep.storage.owners import BEAT_EVERY_S, SILENT_S, Owners
from tests.processes import fork
from tests.sweep.fake_program import TOLD, curve_of
from tests.sweep.postgres import postgres as postgres
from tests.sweep.searches import LR, ROOT, fake_words, place_of, write_sweep
from tests.sweep.watching import end_of, folder_of, until
from tests.sweep.watching import no_leftovers as no_leftovers

FOREIGN = "elsewhere-7-abcdef elsewhere/7/123"


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.slow)])
def storage(request) -> str | None:
    """Where the study lies: None for a journal, else the URL of an empty database."""
    return None if request.param == "journal" else request.getfixturevalue("postgres").new_database()


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The clock by which silence is measured; it stands still until it is set."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(owners_module, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


def claims_of(place: StudyPlace, me: str | None = None) -> tuple[Owners, Claims]:
    owners = Owners(place.storage, place.sweep.name, **({"me": me} if me else {}))
    return owners, Claims(place, owners)


def owner_of(place: StudyPlace, number: int) -> str:
    return place.frozen()[number].user_attrs[OWNER]


def pass_time(clock: SimpleNamespace, time_s: float, *beating: Owners) -> None:
    """Let time pass, in which these give their signs of life."""
    for _ in range(int(time_s / BEAT_EVERY_S)):
        clock.now_s += BEAT_EVERY_S
        for owners in beating:
            owners.beat()


def test_a_trial_of_another_machine_is_taken_over_only_after_its_silence(storage, clock):
    """As long as the other gives signs of life it keeps the trial, however long that takes."""
    place = place_of(write_sweep("silent", trials=4), storage=storage)
    others, theirs = claims_of(place, FOREIGN)
    mine, ours = claims_of(place)
    lost = theirs.take()
    assert lost is not None
    assert (lost.number, owner_of(place, 0)) == (0, FOREIGN)
    assert ours.take().number == 1
    pass_time(clock, 10 * SILENT_S, others, mine)
    assert ours.take().number == 2
    pass_time(clock, SILENT_S - BEAT_EVERY_S, mine)
    assert ours.take().number == 3
    pass_time(clock, 2 * BEAT_EVERY_S, mine)
    found = ours.take()
    assert found is not None
    assert (found.number, found.folder, found.values) == (0, lost.folder, lost.values)
    assert owner_of(place, 0) == mine.me
    assert ours.take() is None


def test_who_lost_a_trial_can_no_longer_end_it_or_give_it_back(storage, clock):
    """Its score may be that of a training that somebody else repeats; the one who has the trial now decides."""
    place = place_of(write_sweep("lost", trials=1), storage=storage)
    _, theirs = claims_of(place, FOREIGN)
    mine, ours = claims_of(place)
    theirs.take()
    assert ours.take() is None  # from now on the silence counts
    pass_time(clock, SILENT_S + 2 * BEAT_EVERY_S, mine)
    assert ours.take() is not None
    assert not theirs.is_mine(0)
    assert not theirs.end(0, "complete", scores=[0.1])
    theirs.give_back(0)
    assert (place.frozen()[0].state.name, owner_of(place, 0)) == ("RUNNING", mine.me)
    assert ours.end(0, "complete", scores=[0.2])
    assert not ours.end(0, "failed", reason="again")
    [trial] = place.results().trials
    assert (trial.state, trial.scores, trial.reason) == ("complete", (0.2,), "")


def test_nobody_is_thought_dead_for_the_time_in_which_the_storage_was_away(storage, clock, monkeypatch):
    """Ten minutes without a storage are no silence of the others: none of them could be heard."""
    place = place_of(write_sweep("away", trials=2), storage=storage)
    others, theirs = claims_of(place, FOREIGN)
    mine, ours = claims_of(place)
    theirs.take()
    pass_time(clock, 30.0, others, mine)
    clock.now_s += 600.0
    mine.beat()
    assert ours.take().number == 1
    pass_time(clock, 60.0, mine)
    assert ours.take() is None
    pass_time(clock, 60.0, mine)
    assert ours.take().number == 0


def test_a_trial_that_waits_again_belongs_to_nobody(storage):
    """Given back, it is the first one that is taken, in the same folder and with the same values."""
    place = place_of(write_sweep("back", trials=2), storage=storage)
    _, first = claims_of(place, FOREIGN)
    given = first.take()
    first.give_back(0)
    assert (place.frozen()[0].state.name, owner_of(place, 0)) == ("WAITING", "")
    _, second = claims_of(place)
    taken = second.take()
    assert (taken.number, taken.folder, taken.values) == (0, given.folder, given.values)
    assert second.take().number == 1


def test_a_process_that_died_before_it_drew_leaves_a_trial_with_the_planned_values(storage):
    """Oracle: the values of the same study when nobody dies."""
    path = write_sweep("early", trials=1)
    place = place_of(path, storage=storage)
    place.load().ask()
    taken = claims_of(place_of(path, storage=storage))[1].take()
    undisturbed = claims_of(place_of(write_sweep("undisturbed", trials=1)))[1].take()
    assert (taken.number, taken.values) == (0, undisturbed.values)


def test_processes_that_take_trials_at_once_never_take_the_same(storage):
    """Twenty that nobody has begun and twenty whose process died, taken by four; each is taken once."""
    path = write_sweep("at_once", trials=40)

    def die() -> None:
        claims = claims_of(place_of(path, storage=storage))[1]
        for _ in range(20):
            claims.take()

    assert end_of(fork(die)) == 0
    read, write = os.pipe()

    def take_all() -> None:
        os.close(write)
        claims = claims_of(place_of(path, storage=storage))[1]
        taken = []
        try:
            while claim := claims.take():
                taken.append(claim.number)
        finally:
            Path(f"taken-{os.getpid()}.txt").write_text(" ".join(map(str, taken)))
        os.read(read, 1)  # alive until all have taken: what it has is nobody else's

    takers = [fork(take_all) for _ in range(4)]
    files = [Path(f"taken-{pid}.txt") for pid in takers]
    until(lambda: all(file.exists() for file in files))
    os.close(write)
    os.close(read)
    assert [end_of(pid) for pid in takers] == [0] * 4
    taken = [int(word) for file in files for word in file.read_text().split()]
    assert sorted(taken) == list(range(40))


def test_a_worker_that_lost_its_trial_ends_the_program_and_writes_nothing(storage, monkeypatch):
    """The other one has taken over meanwhile: its name stands in the storage."""
    place = place_of(write_sweep("gone", trials=1, epochs=1000), storage=storage)
    claims = claims_of(place)[1]
    claim = claims.take()
    monkeypatch.setattr(trial_module, "command_words", fake_words)
    monkeypatch.setattr(trial_module, "_STILL_MINE_EVERY_S", 0.0)
    programs = Programs(["tests.sweep.fake_program"], environ={"PYTHONPATH": str(ROOT)}, log=Path("log.txt"))
    said: list[str] = []

    def tell(text: str) -> None:
        if not said:  # the first validation: it trains
            place.storage.optuna.set_trial_user_attr(claim.trial._trial_id, OWNER, FOREIGN)
        said.append(text)

    run = TrialRun(
        sweep=place.sweep,
        claim=claim,
        claims=claims,
        programs=programs,
        environ={},
        allow_code=(),
        stop=threading.Event(),
        tell=tell,
    )
    try:
        run.run()
    finally:
        programs.close()
    assert (folder_of(place, 0) / TOLD).exists()
    [frozen] = place.frozen()
    assert (frozen.state.name, frozen.user_attrs[OWNER]) == ("RUNNING", FOREIGN)
    reported = list(frozen.intermediate_values.values())
    assert reported == curve_of(claim.values[LR], len(reported))
    assert len(reported) < 1000
