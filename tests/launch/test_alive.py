"""Is a noted process told from another that got its number?"""

from __future__ import annotations

import os

from lightning_cv.launch.alive import is_alive, process_mark
from tests.processes import fork


def test_this_process_lives_and_one_with_its_number_and_another_start_does_not():
    mark = process_mark(os.getpid())
    machine, pid, start = mark.split("/")
    assert is_alive(mark) is True
    assert is_alive(f"{machine}/{pid}/{int(start) + 1}") is False


def test_a_process_that_ended_is_dead_before_and_after_it_is_waited_for():
    read, write = os.pipe()
    child = fork(lambda: len(os.read(read, 1)) - 1)
    mark = process_mark(child)
    assert is_alive(mark) is True
    os.write(write, b"x")
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert is_alive(mark) is False, "it is a zombie"
    os.waitpid(child, 0)
    assert is_alive(mark) is False


def test_nobody_here_knows_of_another_machine():
    _, pid, start = process_mark(os.getpid()).split("/")
    assert is_alive(f"elsewhere/{pid}/{start}") is None
    assert is_alive("") is None
