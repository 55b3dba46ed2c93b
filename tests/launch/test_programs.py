"""Do programs start, end and get lost as their statuses say, and does nothing of them stay behind?"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.launch.programs import LOST, Command, Program, Programs
from tests.processes import fork, status_of

ROOT = Path(__file__).parents[2]
LONG = ["sleep", "1000"]
PATIENCE_S = 60.0


@pytest.fixture
def programs():
    started = Programs(["json"], environ={"PYTHONPATH": str(ROOT)}, log=Path("server.log"))
    yield started
    started.close(None)


def command(*words: str, entry: str | None = None, **environ: str) -> Command:
    return Command(words=words, entry=entry, log=Path("log.txt"), environ=environ, folder=Path.cwd())


def status(program: Program) -> int | None:
    assert program.wait(PATIENCE_S)
    return program.status


def pid_of(program: Program) -> int:
    program.send(signal.SIGCONT)  # waits for the start
    assert program.pid is not None
    return program.pid


# Called in forks, by their names.


def print_words(words: list[str]) -> int:
    print(*words, os.environ.get("SAID"), Path.cwd(), os.getpgid(0) == os.getpid(), sys.argv)
    return len(words)


def raise_error(words: list[str]) -> int:
    raise ValueError("on purpose")


def exit_early(words: list[str]) -> int:
    sys.exit(7)


def import_late(words: list[str]) -> int:
    """1 if the module had to be imported."""
    before = "colorsys" in sys.modules
    import colorsys  # noqa: F401

    return int(not before)


def test_a_program_ends_with_its_own_status(programs):
    assert status(programs.start(command("sh", "-c", "exit 3"))) == 3
    assert status(programs.start(command("true"))) == 0
    assert status(programs.start(command("no such program"))) == 70


def test_a_call_in_a_fork_has_words_variables_folder_log_and_a_group_of_its_own(programs):
    """Oracle: what a program started by itself would print."""
    program = programs.start(command("name", "a b", "$c", entry=f"{__name__}:print_words", SAID="yes"))
    assert status(program) == 2
    said = Path("log.txt").read_text()
    assert said == f"a b $c yes {Path.cwd()} True ['name', 'a b', '$c']\n"
    assert status(programs.start(command("name", entry=f"{__name__}:raise_error"))) == 70
    assert "ValueError: on purpose" in Path("log.txt").read_text().removeprefix(said)
    assert status(programs.start(command("name", entry=f"{__name__}:exit_early"))) == 7


def test_a_signal_is_a_negative_status_and_reaches_the_whole_group_if_wanted(programs):
    program = programs.start(command(*LONG))
    program.send(signal.SIGTERM)
    assert status(program) == -signal.SIGTERM
    program = programs.start(command("sh", "-c", "sleep 1000 & echo $! > child; wait"))
    pid_of(program)
    while not (Path("child").exists() and Path("child").read_text().strip()):
        assert not program.wait(0.01)
    mark = process_mark(int(Path("child").read_text()))
    program.send(signal.SIGKILL, group=True)
    assert status(program) == -signal.SIGKILL
    assert not is_alive(mark) or not status_after(mark)


def status_after(mark: str) -> bool:
    """Whether the process of a mark still lives after as many looks as it may need."""
    return all(is_alive(mark) for _ in range(100_000))


def test_what_a_dead_server_ran_is_lost_and_told_to_end_and_the_next_start_has_a_new_server(programs):
    first, second = programs.start(command(*LONG)), programs.start(command(*LONG))
    marks = [process_mark(pid_of(program)) for program in (first, second)]
    server = int(Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    assert status(first) == status(second) == LOST
    assert not any(status_after(mark) for mark in marks)
    assert status(programs.start(command("sh", "-c", "exit 4"))) == 4


def test_what_a_fork_imported_late_is_imported_for_the_next(programs):
    """A module of the standard library that nothing else needs."""
    results = [status(programs.start(command("x", entry=f"{__name__}:import_late"))) for _ in range(5)]
    assert results[0] == 1
    assert results[-1] == 0


def test_many_threads_start_programs_at_once_and_each_gets_its_own_status(programs):
    found: dict[int, int | None] = {}

    def run(number: int) -> None:
        found[number] = status(programs.start(command("sh", "-c", f"exit {number}")))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(24)}


@pytest.mark.parametrize("timeout_s", [20.0, None])
def test_closing_ends_what_still_runs(timeout_s):
    programs = Programs([], environ={}, log=Path("server.log"))
    mark = process_mark(pid_of(programs.start(command(*LONG))))
    programs.close(timeout_s)
    assert not status_after(mark)
    programs.close(timeout_s)


def test_a_process_that_is_killed_leaves_no_program_behind():
    """The end of the pipe that all of them hold is the end of the last of them."""
    read, write = os.pipe()
    os.set_inheritable(write, True)

    def arrange() -> int:
        os.close(read)
        programs = Programs([], environ={}, log=Path("server.log"))
        pid_of(programs.start(command(*LONG)))
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    child = fork(arrange)
    os.close(write)
    assert status_of(child) == -signal.SIGKILL
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_module_that_cannot_be_imported_stops_no_server():
    programs = Programs(["no_such_module_at_all"], environ={}, log=Path("server.log"))
    assert status(programs.start(command("true"))) == 0
    assert "no_such_module_at_all" in Path("server.log").read_text()
    programs.close(10.0)


def test_closing_does_not_wait_for_imports():
    """The module to import reads a pipe whose other end this test holds: its import never ends."""
    read, write = os.pipe()
    environ = {"PYTHONPATH": str(Path.cwd())}
    Path("endless.py").write_text(f"open('/proc/{os.getpid()}/fd/{read}').read(1)\n")
    programs = Programs(["endless"], environ=environ, log=Path("server.log"))
    program = programs.start(command(*LONG))
    programs.close(PATIENCE_S)
    assert status(program) == LOST
    assert program.pid is None
    os.close(read)
    os.close(write)
