"""Does a person see what a sweep does: each end once, what runs, the best so far, and how long it takes?"""

from __future__ import annotations

import dataclasses
import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from lightning_cv.sweep.engine import board as board_module
from lightning_cv.sweep.engine.board import Board
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from tests.sweep.studies import ACCURACY, LOSS, LR, LR_RANGE, SIZE, finished, make_sweep, mixed_study, random_study

RATES = [10.0**-number for number in range(1, 5)]


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands still until it is set."""
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


def results_with(*scores: float | None, total: int = 8, **options) -> StudyResults:
    """A study in which so many trials have ended; None: that one failed."""
    sweep = make_sweep(LR_RANGE, trials=total, **options)
    trials = [
        TrialResult(number=number, state="failed", values={LR: 0.5}, reason="out of memory")
        if score is None
        else finished(number, {LR: 0.5}, score)
        for number, score in enumerate(scores)
    ]
    waiting = [TrialResult(number=number, state="waiting") for number in range(len(scores), total)]
    return StudyResults(sweep, (*trials, *waiting))


def lines(*steps: StudyResults, workers: int = 1, passes: tuple[SimpleNamespace, float] | None = None) -> list[str]:
    """What is printed where there is no terminal, while a study gets from one step to the next."""
    console = Console(file=io.StringIO(), width=40)
    board = Board(steps[0].sweep, console, workers=workers)
    with board.showing():
        for step in steps:
            board.draw(step)
            if passes:
                passes[0].now_s += passes[1]
    return console.file.getvalue().splitlines()


def table(results: StudyResults, board: Board | None = None, *, width: int = 160) -> list[str]:
    """The live table as it stands, its summary last."""
    console = Console(file=io.StringIO(), width=width, height=60, force_terminal=True, color_system=None)
    board = board or Board(results.sweep, console, workers=1)
    board._console = console
    with board.showing():
        board.draw(results)
        text = console.file.getvalue()
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]


# Without a terminal.


def test_each_trial_that_ends_is_one_line_that_is_said_once():
    """However narrow the place is, and not those that had ended before."""
    steps = [results_with(0.5), results_with(0.5), results_with(0.5, 0.7), results_with(0.5, 0.7, None, 0.6)]
    assert lines(*steps, workers=4) == [
        "trial 1    complete  val/accuracy 0.7  optimizer.lr=0.5  (2 of 8, best 0.7 of trial 1)",
        "trial 2    failed    out of memory  optimizer.lr=0.5  (4 of 8, 1 failed, best 0.7 of trial 1)",
        "trial 3    complete  val/accuracy 0.6  optimizer.lr=0.5  (4 of 8, 1 failed, best 0.7 of trial 1)",
    ]


def test_trials_of_several_objectives_have_all_their_scores_and_no_best():
    sweep = make_sweep(LR_RANGE, trials=2, objectives=(ACCURACY, SIZE))
    ended = StudyResults(sweep, (finished(0, {LR: 0.5}, 0.9, 1234.0),))
    assert lines(StudyResults(sweep, ()), ended) == [
        "trial 0    complete  val/accuracy 0.9  run/parameters 1234  optimizer.lr=0.5  (1 of 2)"
    ]


def test_the_best_of_a_loss_is_the_least():
    said = lines(results_with(objectives=(LOSS,)), results_with(0.5, 0.2, 0.9, objectives=(LOSS,)))
    assert all("best 0.2 of trial 1" in line for line in said)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_time_that_is_left_is_that_of_the_trials_that_are_left_at_the_pace_so_far(clock, workers):
    """By hand: one trial ends every 90 s, so that with n of 8 done (8 - n) * 90 s are left; what comes before the
    first end, the start of the warm process, does not count, nor is anything said before each worker has ended one."""
    steps = [results_with(*[0.5] * ended) for ended in range(9)]
    said = lines(*steps, workers=workers, passes=(clock, 90.0))
    left = [re.search(r"about (.*) left", line) for line in said]
    minutes = {2: "9 min", 3: "7 min 30 s", 4: "6 min", 5: "4 min 30 s", 6: "3 min", 7: "1 min 30 s"}
    assert [found[1] if found else None for found in left] == [
        minutes.get(ended) if ended > workers else None for ended in range(1, 9)
    ]


def test_trials_that_had_ended_before_say_nothing_about_the_pace(clock):
    """A study that goes on: three were done yesterday."""
    steps = [results_with(*[0.5] * ended) for ended in range(3, 9)]
    said = lines(*steps, passes=(clock, 90.0))
    assert "left" not in said[0]
    assert "about 4 min 30 s left" in said[1]


# On a terminal.


def test_the_table_has_a_row_for_each_trial_that_began():
    """Of sixteen, one waits; twelve are shown: what runs, the best, and of the others the latest."""
    study = mixed_study()
    title, *rows, summary = [line for line in table(study) if line]
    assert title.split() == ["trial", "state", "optimizer.lr", "optimizer.weight_decay", "val/accuracy", "↑"]
    best = study.ranked()[0]
    numbers = [int(row.split()[0]) for row in rows]
    assert len(numbers) == 12
    assert numbers == sorted(numbers)
    assert {3, best.number, *range(8, 16)} <= set(numbers)
    assert 4 not in numbers
    assert summary == f"14 of 16, 1 failed, best {best.scores[0]:.4g} of trial {best.number}"
    [row] = [row for row in rows if row.startswith(f"{best.number} *")]
    assert row.split() == [
        *(str(best.number), "*", "complete"),
        *(f"{value:.6g}" for value in best.values.values()),
        f"{best.scores[0]:.4g}",
    ]


def test_more_trials_run_than_there_is_room_for_and_all_are_shown():
    study = random_study(30)
    running = [dataclasses.replace(trial, state="running", scores=None) for trial in study.trials[:20]]
    rows = table(StudyResults(study.sweep, (*running, *study.trials[20:])))
    best = max(study.trials[20:], key=lambda trial: trial.scores[0])
    numbers = {
        int(row.split()[0]) for row in rows[1:] if row and row.split()[0].isdecimal() and "of" not in row.split()
    }
    assert numbers == {*range(20), best.number}


def test_what_happens_to_a_running_trial_is_said_and_whose_it_is():
    study = mixed_study()
    running = dataclasses.replace(study.trials[3], number=5)
    both = StudyResults(study.sweep, (*study.trials[:5], running, *study.trials[6:]))
    board = Board(study.sweep, Console(file=io.StringIO()), workers=1)
    tell = board.follow(3, study.trials[3].values)
    assert re.search(r"^3 +running .* starting$", "\n".join(table(both, board)), re.MULTILINE)
    tell("val/accuracy 0.3")
    rows = "\n".join(table(both, board))
    assert re.search(r"^3 +running .* val/accuracy 0.3$", rows, re.MULTILINE)
    assert re.search(r"^5 +running .* by another process$", rows, re.MULTILINE)


def test_why_a_trial_failed_stands_in_its_row_as_far_as_there_is_room():
    """A row is one line."""
    reason = "out of memory: tried to allocate 2.00 GiB; make data.init_args.batch_size smaller"
    study = mixed_study()
    few = StudyResults(study.sweep, study.trials[:8])
    assert re.search(rf"^0 +failed .* {reason}$", "\n".join(table(few)), re.MULTILINE)
    narrow = [line for line in table(few, width=60) if line]
    assert all(len(line) <= 60 for line in narrow)
    assert len(narrow) == 1 + 7 + 1


def test_nothing_is_left_of_the_table_behind_it():
    """Afterwards the report has the place."""
    console = Console(file=io.StringIO(), width=100, height=60, force_terminal=True, color_system=None)
    board = Board(mixed_study().sweep, console, workers=1)
    with board.showing():
        board.draw(mixed_study())
    written = console.file.getvalue()
    shown = written.count("\n")
    assert written.count("\x1b[2K") > shown, "each of its lines is erased"
    board.draw(mixed_study())
    assert console.file.getvalue() == written
