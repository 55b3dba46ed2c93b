"""What does a sweep do while its storage cannot be reached: a restarting server, a broken network, a full disk?"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

GIVE_UP_S = 1800.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0

_P = ParamSpec("_P")
_R = TypeVar("_R")


def patient(change: Callable[_P, _R]) -> Callable[_P, _R]:
    """Try again, for half an hour, what fails for reasons that pass; trainings go on meanwhile.

    What is tried again must find its own traces, should it have come through after all.
    """

    @functools.wraps(change)
    def trying(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        started_s, wait_s = time.monotonic(), _FIRST_WAIT_S
        while True:
            try:
                return change(*args, **kwargs)
            except Exception as error:
                if not passes(error) or time.monotonic() - started_s > GIVE_UP_S:
                    raise
                if wait_s == _FIRST_WAIT_S:
                    print(
                        f"warning: the study's storage does not answer ({_first_line(error)}); waiting", file=sys.stderr
                    )
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    return trying


def passes(error: BaseException) -> bool:
    """Whether the reason of an error may pass by itself: a connection, a disk."""
    return _passing(error) is not None


def _passing(error: BaseException | None) -> BaseException | None:
    """The error that may pass, of those that led to this one."""
    import sqlalchemy.exc

    sql = sqlalchemy.exc
    # The last is what the next query of a transaction says whose connection was lost in the one before.
    passing: tuple[type[Any], ...] = (OSError, sql.OperationalError, sql.InterfaceError, sql.PendingRollbackError)
    while error is not None:
        if isinstance(error, passing) or getattr(error, "connection_invalidated", False):
            return error
        error = error.__cause__
    return None


def _first_line(error: BaseException) -> str:
    from lightning_cv.record.redact import redact

    reason = _passing(error) or error
    return f"{type(reason).__name__}: {redact((str(reason).splitlines() or [''])[0])!s:.120}"
