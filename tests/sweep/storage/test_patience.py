"""Does a sweep wait while its storage is away, and only then?"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError

from lightning_cv.errors import UserError
from lightning_cv.sweep.storage import patience
from lightning_cv.sweep.storage.patience import GIVE_UP_S, passes, patient

REFUSED = 'connection to server at "127.0.0.1", port 5432 failed: Connection refused\n\tIs the server running?'


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that only moves by what is slept."""
    clock = SimpleNamespace(now_s=0.0, slept=[])

    def sleep(time_s: float) -> None:
        clock.slept.append(time_s)
        clock.now_s += time_s

    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: clock.now_s, sleep=sleep))
    return clock


def wrapped(cause: Exception) -> Exception:
    """As Optuna raises what its database raised."""
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = cause
    return error


def refused() -> Exception:
    return sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(REFUSED))


def cut() -> Exception:
    return sqlalchemy.exc.DBAPIError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)


def pending() -> Exception:
    """What a query says behind one in which the connection was lost."""
    return sqlalchemy.exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")


PASSING = [OSError("no space left"), ConnectionResetError("reset"), refused(), cut(), wrapped(refused())]
PASSING += [wrapped(pending())]
LASTING = [
    ValueError("x"),
    KeyError("x"),
    UserError("x"),
    sqlalchemy.exc.IntegrityError("INSERT", {}, Exception("unique")),
    wrapped(sqlalchemy.exc.ProgrammingError("SELECT", {}, Exception("no such table"))),
]


def failing(times: int, error: Exception) -> object:
    """A change that fails so often before it returns its argument."""
    left = [error] * times

    @patient
    def change(value: str, *, more: str) -> str:
        """Change something."""
        if left:
            raise left.pop()
        return value + more

    return change


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again_after_waits_that_double_up_to_half_a_minute(clock, capsys, error):
    """The result is that of the try that came through; one line says what it waits for."""
    assert passes(error)
    assert failing(8, error)("a", more="b") == "ab"
    assert clock.slept == [0.5, 1, 2, 4, 8, 16, 30, 30]
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("warning: the study's storage does not answer (")
    assert said.endswith("); waiting")


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_does_not_pass_is_raised_at_once(clock, capsys, error):
    assert not passes(error)
    with pytest.raises(type(error)) as caught:
        failing(1, error)("a", more="b")
    assert caught.value is error
    assert clock.slept == []
    assert capsys.readouterr().err == ""


def test_after_half_an_hour_it_gives_up(clock):
    with pytest.raises(ConnectionResetError):
        failing(10_000, ConnectionResetError("reset"))("a", more="b")
    assert GIVE_UP_S == 1800
    assert GIVE_UP_S < clock.now_s <= GIVE_UP_S + 30


def test_the_line_tells_the_reason_and_no_password(clock, capsys):
    """The first line of what the driver says, not of what was wrapped around it."""
    failing(1, wrapped(refused()))("a", more="b")
    assert "Connection refused" in capsys.readouterr().err
    failing(1, OSError("postgresql://me:s3cret@host/db is away\npassword=s3cret"))("a", more="b")
    said = capsys.readouterr().err
    assert "is away" in said
    assert "s3cret" not in said


def test_each_call_has_its_own_patience(clock, capsys):
    change = failing(2, OSError("x"))
    change("a", more="b")
    assert clock.slept == [0.5, 1]
    change("a", more="b")
    assert clock.slept == [0.5, 1]
    assert change.__name__ == "change"
