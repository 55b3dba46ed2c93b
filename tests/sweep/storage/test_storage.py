"""Is a study's storage changed by one at a time, whole after a kill, and silent about its password?"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import random
import signal
import string
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lightning_cv.errors import UserError
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.storage.base import Storage, open_storage, shown_url
from lightning_cv.sweep.storage.database import Database, read_url
from lightning_cv.sweep.storage.journal import Journal
from tests.processes import fork, status_of
from tests.sweep.postgres import postgres as postgres
from tests.sweep.watching import no_leftovers as no_leftovers
from tests.sweep.written import write_sweep

PASSWORD = "s3cret"  # noqa: S105 - of the tests
HOSTILE = [
    f"postgresql://me:{PASSWORD}@host/db",
    f"postgresql://me:{PASSWORD}@host:port/db",
    f"postgresql://:{PASSWORD}@host/db",
    f"postgresql://me:{PASSWORD}?x@host/db",
    f"postgresql://me:a?{PASSWORD}@host/db",
    f"postgresql://me:a?b={PASSWORD}@host/db?sslmode=require",
    f"postgresql://m?e:{PASSWORD}@host/db",
    f"postgresql://me:{PASSWORD}#x@host/db",
    f"postgresql://me:{PASSWORD}/x@host/db",
    f"postgresql://me:a/{PASSWORD}@host/db",
    f"postgresql://me:a:{PASSWORD}@host/db",
    f"postgresql://me:a@{PASSWORD}@host/db",
    f"postgresql://me:{PASSWORD}@a@host/db",
    f"postgresql://me@x:{PASSWORD}@host/db",
    f"postgresql://me:{PASSWORD}@[::1/db",
    f"postgresql://me:{PASSWORD} x@host/db",
    f"postgresql://me:\n{PASSWORD}\n@host/db",
    f"postgresql://me:{PASSWORD}",
    f"postgresql://me:{PASSWORD}/db",
    f"postgresql://me:1/{PASSWORD}@host",
    f"postgresql://host/db?user=me&password={PASSWORD}",
    f"postgresql://host:5432/db?password={PASSWORD}@x",
    f"postgresql://host?password={PASSWORD}:x",
    f"postgresql://host/db?sslpassword={PASSWORD}&sslmode=require",
    f"postgresql://host/db?PGPASSWORD={PASSWORD}",
    f"postgresql://host/db?a=b;password={PASSWORD}",
    f"postgresql://host/db?options=-c%20password%3D{PASSWORD}",
    f"mysql://me:{PASSWORD}@host/db",
    f"mysql+pymysql://me:{PASSWORD}@host/db",
    f"sqlite:///x.db?password={PASSWORD}",
    f"oracle://me:{PASSWORD}@host/db",
    f"postgresql+nodriver://me:{PASSWORD}@host/db",
    f"postgresql:/me:{PASSWORD}@host/db",
    f"postgresql:me:{PASSWORD}@host/db",
    f"me:{PASSWORD}@host/db",
]


def said_by(call: Callable[[], object]) -> str:
    """The message of a call that is refused; nothing where it is not."""
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


# What is shown of a URL.


@pytest.mark.parametrize("url", HOSTILE)
def test_a_password_is_shown_in_no_form_of_a_url_and_in_no_message(url):
    """Passwords with every sign that means something in a URL, passwords in queries, and URLs that are none."""
    quoted = url.replace("\n", "\\n")
    assert PASSWORD not in shown_url(url)
    assert "***" in shown_url(shown_url(url)), "a study whose URL was recorded knows that the password is missing"
    assert PASSWORD not in said_by(lambda: read_url(url))
    assert PASSWORD not in said_by(lambda: read_sweep(write_sweep(), storage=url))
    assert PASSWORD not in said_by(lambda: read_sweep(write_sweep(x=f'storage: "{quoted}"')))


def test_user_and_password_are_shown_as_sqlalchemy_shows_them():
    """Oracle: SQLAlchemy's own rendering, of two hundred random users and passwords with every sign of the keyboard."""
    draw = random.Random(0)  # noqa: S311 - no secret
    signs = string.ascii_letters + string.digits + string.punctuation + " "
    for _ in range(200):
        password = PASSWORD + "".join(draw.choices(signs, k=12))
        url = sqlalchemy.URL.create(
            "postgresql", f"me{draw.choice(signs)}", password, "host", draw.choice((None, 5432)), "db"
        )
        assert shown_url(url.render_as_string(hide_password=False)) == url.render_as_string(hide_password=True)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///study.db",
        "sqlite:////folder/study.db?timeout=10",
        "postgresql://host/db",
        "postgresql://me@host:5432/db?sslmode=require&passfile=/home/me/.pgpass",
        "postgresql://[::1]:5432/db",
        "mysql+pymysql://host:3306/db",
    ],
)
def test_a_url_without_a_password_is_shown_as_it_is(url):
    assert shown_url(url) == url


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg"),
        ("sqlite:///study.db", "sqlite"),
    ],
)
def test_a_database_gets_the_driver_that_this_package_brings(given, driver):
    assert read_url(given).drivername == driver


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("study.db", "not the URL of a database; allowed: null"),
        ("postgresql://host:port/db", r"postgresql://host:\*\*\*/db: not the URL of a database"),
        ("mongodb://host/db", "mongodb is not allowed; allowed: postgresql, mysql, sqlite"),
        ("mysql://host/db", r"needs pymysql, which is not installed: pip install 'lightning_cv\[mysql\]'"),
        ("postgresql://me:a@b@host/db", "its password holds an @; write it %40"),
        ("sqlite:////no/such/folder/study.db", "cannot be used \\(unable to open database file\\)"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(given, said, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pymysql" else find(name))
    with pytest.raises(UserError, match=said) as caught:
        open_storage(given, Path())
    assert "\n" not in str(caught.value)


# The lock.


@pytest.fixture(params=["journal", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def opened(request) -> Callable[[], Storage]:
    """Opens one storage, each time as another process would."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").new_database()
        return lambda: open_storage(url, Path())
    return lambda: open_storage({"journal": None, "sqlite": "sqlite:///study.db"}[request.param], Path())


def count_up(storage: Storage, times: int) -> None:
    """Read and write a number, many times; two that do so at once lose some of it."""
    for _ in range(times):
        with storage.lock("study"):
            number = int(Path("number.txt").read_text())
            os.sched_yield()
            Path("number.txt").write_text(str(number + 1))


def with_threads(storage: Storage, times: int) -> int:
    threads = [threading.Thread(target=count_up, args=(storage, times)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def test_the_lock_is_held_by_one_thread_of_one_process_at_a_time(opened):
    """Each of three threads of each process counts a number in a file up; a lost update would show in the sum.

    An SQLite file is for one process only.
    """
    Path("number.txt").write_text("0")
    storage = opened()
    processes = 3 if storage.shared else 1
    if processes == 1:
        with_threads(storage, 20)
    else:
        children = [fork(lambda: with_threads(opened(), 20)) for _ in range(processes)]
        assert [status_of(child) for child in children] == [0] * processes
    assert int(Path("number.txt").read_text()) == processes * 3 * 20


@pytest.mark.slow
def test_locks_of_different_studies_do_not_wait_for_each_other_in_a_database(postgres):
    """One process would wait for itself for ever."""
    storage = Database(postgres.new_database())
    with storage.lock("one"), storage.lock("other"):
        pass


@pytest.mark.parametrize("opened", ["journal", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_a_lock_whose_holder_is_killed_is_free(opened):
    """The next one gets it without waiting for a time to pass: there is none in the code."""
    held, tell = os.pipe()

    def hold() -> None:
        with opened().lock("study"):
            os.write(tell, b"x")
            signal.pause()

    child = fork(hold)
    assert os.read(held, 1) == b"x"
    storage = opened()
    if isinstance(storage, Journal):
        with Path(".claims").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(child, signal.SIGKILL)
    assert status_of(child) == -signal.SIGKILL
    taken = threading.Thread(target=lambda: storage.lock("study").__enter__(), daemon=True)
    taken.start()
    taken.join(60)
    assert not taken.is_alive()


def test_signs_of_life_are_values_that_change(opened):
    """Each process has its own; a journal does not grow with them."""
    storage = opened()
    optuna.create_study(study_name="study", storage=storage.optuna)
    size = Path("study.journal").stat().st_size if isinstance(storage, Journal) else 0
    seen = []
    for _ in range(3):
        storage.beat("study", "a")
        seen.append(storage.beats("study")["a"])
    storage.beat("study", "b")
    assert len(set(seen)) == 3
    assert set(opened().beats("study")) == {"a", "b"}
    assert size == (Path("study.journal").stat().st_size if isinstance(storage, Journal) else 0)


# A journal after a kill.


def small_study() -> bytes:
    """The journal of a study with one attribute, written by Optuna."""
    study = optuna.create_study(study_name="study", storage=Journal(Path("study.journal")).optuna)
    study.set_user_attr("first", 1)
    study.set_user_attr("torn", "some text")
    return Path("study.journal").read_bytes()


def attributes() -> dict[str, object]:
    """What Optuna finds in the journal by its own means."""
    storage = JournalStorage(JournalFileBackend("study.journal"))
    return optuna.load_study(study_name="study", storage=storage).user_attrs


def test_a_journal_that_was_cut_off_at_any_byte_of_its_last_line_goes_on_without_that_line():
    """Oracle: Optuna's own reading, which fails where anything stands behind a line that was not ended."""
    text = small_study()
    last = text.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(last, len(text)):
        Path("study.journal").write_bytes(text[:size])
        storage = Journal(Path("study.journal")).optuna
        storage.set_study_user_attr(storage.get_study_id_from_name("study"), "later", size)
        assert attributes() == {"first": 1, "later": size}
        assert Path("study.journal").read_bytes().startswith(text[:last])


@pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 19])
def test_a_long_line_that_was_cut_off_goes_as_a_whole(size):
    text = small_study()
    Path("study.journal").write_bytes(text + b"x" * size)
    storage = Journal(Path("study.journal")).optuna
    storage.set_study_user_attr(storage.get_study_id_from_name("study"), "later", 2)
    assert attributes() == {"first": 1, "torn": "some text", "later": 2}
    assert Path("study.journal").read_bytes().startswith(text)


def test_a_journal_whose_only_line_was_cut_off_is_empty():
    Path("study.journal").write_bytes(b'{"op_code":')
    optuna.create_study(study_name="study", storage=Journal(Path("study.journal")).optuna)
    assert attributes() == {}


def test_a_journal_that_could_not_be_written_for_a_while_can_be_written_again():
    """The process that met the error does not wait for its own lock."""
    text = small_study()
    storage = Journal(Path("study.journal")).optuna
    number = storage.get_study_id_from_name("study")
    Path("study.journal").unlink()
    with pytest.raises(FileNotFoundError):
        storage.set_study_user_attr(number, "later", 1)
    Path("study.journal").write_bytes(text)
    again = threading.Thread(target=storage.set_study_user_attr, args=(number, "later", 2), daemon=True)
    again.start()
    again.join(60)
    assert not again.is_alive()
    assert attributes()["later"] == 2


@pytest.mark.parametrize("text", ["hello\nhello\n", "5\n", "[1]\n", "{}\n", '{"op_code": 99}\n', "\xff\n"])
def test_a_file_that_is_no_journal_is_told_in_one_line(text):
    Path("study.journal").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^study\.journal: damaged; it is no journal of a study") as caught:
        open_storage(None, Path())
    assert "\n" not in str(caught.value)


def test_a_folder_in_the_place_of_the_journal_is_told_in_one_line():
    Path("study.journal").mkdir()
    with pytest.raises(UserError, match=r"^study\.journal: cannot be opened \(Is a directory\)$"):
        open_storage(None, Path())
