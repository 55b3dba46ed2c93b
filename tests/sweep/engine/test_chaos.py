"""What becomes of a sweep whose trials die, fail or are pruned, and that is stopped, goes on, or grows?"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_cv.errors import PREEMPTED, RECIPE, UserError
from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.sweep.storage.base import JOURNAL
from tests.processes import fork
from tests.sweep.fake_program import EPOCHS, LEFT, TOLD, TWICE, curve_of
from tests.sweep.searches import LR, forked, place_of, search, write_sweep
from tests.sweep.watching import all_gone, below, children_of, end_of, epochs_saved, folder_of, lines, pids, until
from tests.sweep.watching import no_leftovers as no_leftovers

LONG = 60  # epochs of a trial that is to be caught in the middle


def run_all(path: Path, workers: int = 2, **options) -> int:
    """A whole sweep; its status."""
    return end_of(fork(forked(path, workers, **options)))


def telling(path: Path, workers: int) -> Callable[[], int]:
    """A sweep whose error is written to `error.txt`."""

    def program() -> int:
        try:
            return search(path, workers)
        except UserError as error:
            Path("error.txt").write_text(str(error))
            return error.exit_code

    return program


def deeds(*names: str) -> str:
    """Lines of a sweep that lists one trial for each deed, with a rate of its own."""
    listed = [f"  - {{{LR}: {0.001 * (n + 1)!r}, trainer.deed: {name}}}\n" for n, name in enumerate(names)]
    options = ", ".join(dict.fromkeys(names))
    return f"  trainer.deed: {{choice: [{options}]}}\nlisted:\n{''.join(listed)}"


def best_of(lr: float, epochs: int = EPOCHS) -> float:
    """What a trial is worth; closed form."""
    return max(curve_of(lr, epochs))


def in_the_middle(place, *numbers: int) -> Callable[[], bool]:
    """Whether each of these trials has saved a few epochs and trains on."""
    return lambda: all(epochs_saved(place, number) > 2 for number in numbers)


def test_a_trial_that_is_killed_each_time_fails_with_its_reason_and_the_others_go_on():
    """As the killer of a machine without memory does; it is started three times: once, and twice again."""
    path = write_sweep("killed", trials=4, more=deeds("none", "killed", "none", "none"))
    assert run_all(path) == 0
    place = place_of(path)
    trials = place.results().trials
    assert [trial.state for trial in trials] == ["complete", "failed", "complete", "complete"]
    said = "killed by SIGKILL (the machine's memory ran out?)"
    assert trials[1].reason == f"{said}, 3 times at or before step 2"
    assert [len(pids(place, number)) for number in range(4)] == [1, 3, 1, 1]
    assert [trial.scores for trial in trials if trial.scores] == [(best_of(lr),) for lr in (0.001, 0.003, 0.004)]


def test_a_trial_that_gets_further_with_each_start_is_started_as_often_as_it_takes():
    """It dies six times, one epoch further each time, and only one retry is allowed without progress."""
    path = write_sweep("dies", trials=1, more=f"{deeds('dies')}retries: 1\n")
    assert run_all(path) == 0
    place = place_of(path)
    [trial] = place.results().trials
    assert (trial.state, trial.scores) == ("complete", (best_of(0.001),))
    assert len(pids(place, 0)) == EPOCHS
    assert trial.reported == dict(enumerate(curve_of(0.001), start=1))


def test_a_trial_that_diverges_fails_with_the_last_line_that_it_said():
    """Status 4 is not tried again: it would diverge again."""
    path = write_sweep("diverges", trials=3, more=deeds("none", "status 4", "none"))
    assert run_all(path) == 0
    place = place_of(path)
    trials = place.results().trials
    assert [(trial.state, trial.reason) for trial in trials] == [
        ("complete", ""),
        ("failed", "the true reason"),
        ("complete", ""),
    ]
    assert len(pids(place, 1)) == 1


def test_a_mistake_in_the_recipe_stops_the_sweep_before_it_uses_up_trials():
    """The first trials end with status 2: so does the sweep, with what they said; all trials still wait."""
    path = write_sweep("mistaken", trials=6, deed="status 2")
    assert end_of(fork(telling(path, 2))) == RECIPE
    assert Path("error.txt").read_text() in [f"trial {number} cannot train: the true reason" for number in (0, 1)]
    place = place_of(path)
    assert [trial.state for trial in place.results().trials] == ["waiting"] * 6
    assert [pids(place, number) for number in range(2, 6)] == [[]] * 4


def test_a_mistake_that_only_some_trials_make_fails_those_once_another_has_trained():
    """With one worker trial 0 has trained when trial 1 ends with status 2."""
    path = write_sweep("partly", trials=3, more=deeds("none", "status 2", "none"))
    assert run_all(path, 1) == 0
    assert [trial.state for trial in place_of(path).results().trials] == ["complete", "failed", "complete"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_stopped_sweep_goes_on_where_it_was(number):
    """Running trials save and wait; the next start trains on in the same folders, with the same values."""
    path = write_sweep("stopped", trials=3, epochs=LONG)
    place = place_of(path)
    parent = fork(forked(path, 2))
    until(in_the_middle(place, 0, 1))
    running = below(parent)
    os.kill(parent, number)
    assert end_of(parent) == PREEMPTED
    assert all_gone(running)
    before = place.results().trials
    assert [trial.state for trial in before] == ["waiting"] * 3
    saved = [epochs_saved(place, number) for number in range(3)]
    assert all(2 < epochs < LONG for epochs in saved[:2])
    assert saved[2] == 0
    assert run_all(path) == 0
    after = place.results().trials
    assert [(trial.state, trial.scores) for trial in after] == [
        ("complete", (best_of(trial.values[LR], LONG),)) for trial in after
    ]
    assert [(trial.folder, trial.values) for trial in after[:2]] == [
        (trial.folder, trial.values) for trial in before[:2]
    ]
    assert [len(pids(place, number)) for number in range(3)] == [2, 2, 1]
    for trial, epochs in zip(after[:2], saved[:2], strict=True):
        assert trial.folder is not None
        resumed = [line for line in lines(trial.folder / "progress.jsonl") if '"resume"' in line]
        assert len(resumed) == 1
        assert f'"kept": {epochs}' in resumed[0]


def test_a_second_ctrl_c_ends_everything_at_once():
    """Also trials that do not listen; the next start trains them to their end."""
    path = write_sweep("twice", trials=2, epochs=LONG, deed="deaf")
    place = place_of(path)
    parent = fork(forked(path, 2))
    until(in_the_middle(place, 0, 1))
    running = below(parent)
    assert len(running) == 3  # the fork server and two trials
    os.kill(parent, signal.SIGINT)
    until(lambda: all((folder_of(place, number) / TOLD).exists() for number in (0, 1)))
    os.kill(parent, signal.SIGINT)
    assert end_of(parent) == 130
    until(lambda: all_gone(running), polls=50)
    assert all(epochs_saved(place, number) < LONG for number in (0, 1))
    assert run_all(path) == 0
    assert [trial.scores for trial in place.results().trials] == [
        (best_of(trial.values[LR], LONG),) for trial in place.results().trials
    ]


def test_a_second_ctrl_c_does_not_wait_for_a_warm_process_that_never_gets_warm():
    """The fork server imports a module that waits for ever: no trial has started yet."""
    Path("endless.py").write_text("import signal\nopen('importing.txt', 'w').close()\nsignal.pause()\n")
    path = write_sweep("endless", trials=1)
    parent = fork(forked(path, 1, warm="endless"))
    until(Path("importing.txt").exists)
    running = below(parent)

    def ended() -> bool:
        os.kill(parent, signal.SIGINT)
        return os.waitid(os.P_PID, parent, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    until(ended, polls=100)
    assert end_of(parent) == 130
    until(lambda: all_gone(running), polls=50)


@pytest.mark.parametrize("deed", ["none", "deaf"])
def test_trials_end_with_their_fork_server(deed):
    """A trial whose server was killed gets SIGTERM, saves and goes; then it is trained on from there.

    One that does not listen is waited for before anybody trains its run again.
    """
    path = write_sweep("server", trials=1, epochs=LONG, deed=deed)
    place = place_of(path)
    parent = fork(forked(path, 1))
    until(in_the_middle(place, 0))
    [server] = children_of(parent)
    os.kill(server, signal.SIGKILL)
    assert end_of(parent) == 0
    assert (folder_of(place, 0) / TOLD).exists()
    assert not (folder_of(place, 0) / TWICE).exists()
    [trial] = place.results().trials
    assert trial.scores == (best_of(trial.values[LR], LONG),)
    assert len(pids(place, 0)) == 2


def test_whoever_takes_over_a_trial_waits_until_nobody_trains_its_run_any_more():
    """The process that ran it was killed, and its program does not listen."""
    path = write_sweep("over", trials=1, epochs=LONG, deed="deaf")
    place = place_of(path)
    first = fork(forked(path, 1))
    until(in_the_middle(place, 0))
    os.kill(first, signal.SIGKILL)
    assert end_of(first) == -signal.SIGKILL
    [trial] = pids(place, 0)
    assert is_alive(process_mark(trial))
    assert end_of(fork(forked(path, 1))) == 0
    assert not (folder_of(place, 0) / TWICE).exists()
    [trial] = place.results().trials
    assert (trial.state, trial.scores) == ("complete", (best_of(trial.values[LR], LONG),))


def test_a_sweep_that_is_killed_takes_its_trials_with_it():
    """Nothing that it started is left a moment later."""
    path = write_sweep("orphans", trials=2, epochs=1000)
    place = place_of(path)
    parent = fork(forked(path, 2))
    until(in_the_middle(place, 0, 1))
    running = below(parent)
    assert all(map(is_alive, running))
    os.kill(parent, signal.SIGKILL)
    assert end_of(parent) == -signal.SIGKILL
    until(lambda: all_gone(running), polls=100)
    assert all(epochs_saved(place, number) < 1000 for number in (0, 1))


def test_what_a_trial_leaves_behind_ends_before_the_next_one_begins():
    """Another process of the same training would hold memory and devices; it does not listen to SIGTERM."""
    path = write_sweep("leaves", trials=2, epochs=LONG, more=deeds("leaves", "none"))
    place = place_of(path)
    parent = fork(forked(path, 1))
    until(Path(LEFT).exists)
    until(lambda: lines(Path(LEFT)))
    left = process_mark(int(Path(LEFT).read_text()))
    assert is_alive(left)
    until(in_the_middle(place, 1))
    assert not is_alive(left)
    assert end_of(parent) == 0
    assert [trial.state for trial in place.results().trials] == ["complete"] * 2


def test_a_line_that_a_killed_process_left_unfinished_in_the_journal_harms_nobody():
    """Oracle: Optuna reads the journal afterwards with its own means."""
    import optuna

    path = write_sweep("torn", trials=2)
    assert run_all(path) == 0
    journal = Path("runs/torn") / JOURNAL
    with journal.open("a") as file:
        file.write('{"op_code": 5, "worker_id": "half a li')
    assert run_all(path, trials=4) == 0
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name="torn", storage=optuna.storages.JournalStorage(backend))
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE"] * 4
    assert "half a li" not in journal.read_text()


def test_more_trials_later_are_as_many_as_were_added():
    """What was trained stays as it was, and the values are those of a sweep that had as many from the beginning."""
    path = write_sweep("grows", trials=3)
    assert run_all(path) == 0
    before = place_of(path).results().trials
    assert run_all(path, trials=7) == 0
    place = place_of(path, trials=7)
    after = place.results().trials
    assert after[:3] == before
    assert [trial.state for trial in after] == ["complete"] * 7
    assert [len(pids(place, number)) for number in range(7)] == [1] * 7
    whole = write_sweep("whole", trials=7)
    assert run_all(whole) == 0
    assert [(trial.values, trial.scores) for trial in place_of(whole).results().trials] == [
        (trial.values, trial.scores) for trial in after
    ]


def test_another_sweep_does_not_get_the_study_of_one_that_has_trained():
    """One line names what differs."""
    path = write_sweep("same", trials=2)
    assert run_all(path) == 0
    path.write_text(path.read_text().replace("1.0e-1", "2.0e-1"))
    with pytest.raises(
        UserError, match=r"^study same \(.*\) was begun with another sweep: space\..*0\.1.*0\.2"
    ) as caught:
        place_of(path)
    assert "\n" not in str(caught.value)


def test_a_pruned_trial_has_ended_and_says_why():
    """Oracle: the median rule by hand over what was reported; one worker, so that trials end in their order."""
    path = write_sweep("pruned", trials=8, epochs=60, more="pruner: {name: median, n_startup_trials: 2}\n")
    assert run_all(path, 1) == 0
    place = place_of(path)
    trials = place.results().trials
    curves = {trial.number: curve_of(trial.values[LR], 60) for trial in trials}
    complete: list[int] = []
    for trial in trials:
        expected = _median_rule(curves[trial.number], [curves[number] for number in complete])
        if trial.state == "complete":
            complete.append(trial.number)
            # It may end before it is looked at again.
            assert expected is None or expected > 30
            continue
        assert trial.state == "pruned"
        assert trial.reason == f"median pruner, after validation {expected}"
        assert list(trial.reported) == list(range(1, expected + 1))
        assert epochs_saved(place, trial.number) < 60
    assert {trial.state for trial in trials} == {"complete", "pruned"}


def _median_rule(curve: list[float], others: list[list[float]]) -> int | None:
    """The first validation, from 1, whose best so far lies below the median of the others there (Golovin et al.)."""
    import statistics

    for step in range(1, len(curve) + 1):
        there = [other[step - 1] for other in others]
        if len(others) >= 2 and max(curve[:step]) < statistics.median(there):
            return step
    return None


def test_the_mark_of_a_process_that_died_is_of_no_other():
    """A number that is given again has another start."""
    mark = process_mark(os.getpid())
    machine, number, start = mark.rsplit("/", 2)
    assert is_alive(mark)
    assert not is_alive(f"{machine}/{number}/{int(start) - 1}")
    assert is_alive(f"elsewhere/{number}/{start}") is None
