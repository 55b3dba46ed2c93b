"""Programs in tests: forked from this warm process, so that each costs a fraction of a second."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable


def fork(program: Callable[[], int | None]) -> int:
    """Run `program` in a child process that ends with its return value as status; returns the child's id.

    A program that raises ends with the exception's `exit_code`, or 70 and a traceback.
    """
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        if "torch" in sys.modules:  # a thread pool of its own, before two threads ask for one at once
            sys.modules["torch"].set_num_threads(sys.modules["torch"].get_num_threads())
        status = program() or 0
    except BaseException as error:
        status = getattr(error, "exit_code", 70)
        if status == 70:
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status_of(child: int) -> int:
    """Wait for the end of a child; a negative status is the number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_ranks(number: int, program: Callable[[int], int | None]) -> list[int]:
    """Fork processes that train together, with the environment that Lightning's launcher gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def with_environment(rank: int) -> Callable[[], int | None]:
        def run() -> int | None:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
            os.environ |= {"WORLD_SIZE": str(number), "LOCAL_RANK": str(rank)}
            return program(rank)

        return run

    return [fork(with_environment(rank)) for rank in range(number)]


def with_one_and_two(every: Callable[[int], None], *, hung_s: int = 300) -> None:
    """Call `every(1)` here, and `every(2)` in each of two processes that train together."""

    def two(rank: int) -> None:
        signal.alarm(hung_s)  # processes that wait for each other are killed
        every(2)

    assert [status_of(child) for child in fork_ranks(2, two)] == [0, 0]
    every(1)
