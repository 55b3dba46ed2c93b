"""What a test sees of a sweep that other processes run: its trials' files, its processes, and when something is so."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.sweep.engine.study import StudyPlace
from tests.processes import status_of

POLLS, POLL_S = 10_000, 0.02


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """What a failed test still runs ends with it; with a sweep its fork server and its trials end."""
    before = children_of(os.getpid())
    yield
    for child in set(children_of(os.getpid())).difference(before):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def until(happened: Callable[[], object], *, polls: int = POLLS) -> None:
    """Look again and again until it has happened; fails after so many looks, some minutes on an idle machine."""
    for _ in range(polls):
        if happened():
            return
        timer = threading.Timer(POLL_S, int)
        timer.start()
        timer.join()
    raise AssertionError(f"it has not happened within {polls} looks")


def end_of(child: int) -> int:
    """The status of a forked process once it has ended, see `status_of`; fails when it does not end."""
    until(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    return status_of(child)


def folder_of(place: StudyPlace, number: int) -> Path:
    """The folder of a trial's run."""
    return place.folder / place.run_name(number)


def lines(path: Path) -> list[str]:
    """The lines of a file; none where there is none."""
    return path.read_text().splitlines() if path.is_file() else []


def pids(place: StudyPlace, number: int) -> list[int]:
    """The processes that ever trained a trial, one a start, in order."""
    return [int(line) for line in lines(folder_of(place, number) / "pids.txt")]


def epochs_saved(place: StudyPlace, number: int) -> int:
    """How many epochs the newest snapshot of a trial holds."""
    snapshot = folder_of(place, number) / "snapshot.json"
    return int(json.loads(snapshot.read_text())["epoch"]) if snapshot.is_file() else 0


def children_of(pid: int) -> list[int]:
    """The processes that a process started; none where it is gone."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def below(pid: int) -> list[str]:
    """Marks of all processes below this one."""
    children = children_of(pid)
    return [process_mark(child) for child in children] + [mark for child in children for mark in below(child)]


def all_gone(marks: Sequence[str]) -> bool:
    """Whether none of these processes runs any more."""
    return not any(is_alive(mark) for mark in marks)
