"""Is every trial of a sweep run once and to its end, whoever is killed?"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading

import pytest

from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.sweep.engine.results import StudyResults
from tests.processes import fork
from tests.sweep.fake_program import TWICE, curve_of
from tests.sweep.postgres import postgres as postgres
from tests.sweep.searches import LR, forked, place_of, search, write_sweep
from tests.sweep.watching import all_gone, children_of, end_of
from tests.sweep.watching import no_leftovers as no_leftovers

TRIALS, KILLS = 40, 8


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.slow)])
def storage(request) -> str | None:
    """Where the study lies: None for a journal, else the URL of an empty database."""
    return None if request.param == "journal" else request.getfixturevalue("postgres").new_database()


def victims(parents: list[int]) -> dict[str, list[int]]:
    """What may be killed: the processes that arrange, their fork servers, the trials."""
    servers = [server for parent in parents for server in children_of(parent)]
    return {"worker": parents, "server": servers, "trial": [t for server in servers for t in children_of(server)]}


def planned(number: int) -> float:
    """The rate of a trial, as documented: a hash of (seed, number, path), spread over the logarithms of the range."""
    digest = hashlib.blake2b(f"3 {number} {LR}".encode(), digest_size=8).digest()
    return 10 ** (-4 + 3 * (int.from_bytes(digest, "big") >> 11) / 2**53)


def assert_each_once(results: StudyResults) -> None:
    """Oracle: the rates of a study without kills, and what the fake program makes of each."""
    assert [trial.number for trial in results.trials] == list(range(TRIALS))
    assert [(trial.number, trial.reason) for trial in results.trials if trial.state != "complete"] == []
    rates = [trial.values[LR] for trial in results.trials]
    assert rates == pytest.approx([planned(number) for number in range(TRIALS)], rel=1e-9)
    for trial in results.trials:
        scores = curve_of(trial.values[LR])
        assert trial.scores == (max(scores),)
        assert trial.reported == dict(enumerate(scores, start=1))
        assert trial.folder is not None
        assert not (trial.folder / TWICE).exists()
    assert len({trial.folder for trial in results.trials}) == TRIALS


def after(delay_s: float) -> None:
    """Let the sweep go on for a random while: kills fall at random instants."""
    timer = threading.Timer(delay_s, int)
    timer.start()
    timer.join()


def kill_one(candidates: list[int], draw: random.Random) -> int | None:
    """Kill one of them; None: it was gone already."""
    victim = draw.choice(candidates)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return victim


@pytest.mark.parametrize(("processes", "workers"), [(2, 2), (1, 4)])
def test_forty_trials_survive_eight_kills_of_workers_servers_and_trials(storage, processes, workers):
    """Four workers in two processes or in one on one study; whoever is killed is started again, as a cluster would.

    Oracle: the values that the plan draws and what the program makes of them, both without any kill.
    """
    path = write_sweep("killed", trials=TRIALS, epochs=6)
    draw = random.Random(1)  # noqa: S311 - no secret
    parents = [fork(forked(path, workers, storage=storage)) for _ in range(processes)]
    kinds = ["trial", "worker", "server", "trial", "worker", "trial", "server", "worker"]
    marks: list[str] = []
    kills = 0
    place = place_of(path, storage=storage)
    while kills < KILLS:
        after(draw.uniform(0.01, 0.1))
        ended = sum(trial.state.is_finished() for trial in place.frozen())
        assert ended < TRIALS, "the sweep ended before the last kill"
        assert any(is_alive(process_mark(parent)) for parent in parents), "the sweep ended with an error"
        candidates = victims(parents)[kinds[kills]]
        if ended < 4 * kills or not candidates:
            continue
        marks += [process_mark(pid) for pids in victims(parents).values() for pid in pids]
        victim = kill_one(candidates, draw)
        kills += victim is not None
        if victim in parents:
            assert end_of(victim) == -signal.SIGKILL
            parents[parents.index(victim)] = fork(forked(path, workers, storage=storage))
    assert [end_of(parent) for parent in parents] == [0] * processes
    assert_each_once(place.results())
    assert all_gone(marks)


def test_three_processes_that_begin_a_study_at_once_make_no_trial_too_many(storage):
    """They wait for one another before they make it. Oracle: the number in the sweep."""
    path = write_sweep("at_once", trials=TRIALS)
    read, write = os.pipe()

    def program() -> int:
        os.close(write)
        os.read(read, 1)  # until the other end is closed
        return search(path, 1, storage=storage)

    parents = [fork(program) for _ in range(3)]
    os.close(write)
    os.close(read)
    assert [end_of(parent) for parent in parents] == [0, 0, 0]
    place = place_of(path, storage=storage)
    assert len(place.frozen()) == TRIALS
    assert_each_once(place.results())
