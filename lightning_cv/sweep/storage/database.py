"""How is a study kept in a database, for workers on many machines?"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightning_cv.errors import UserError
from lightning_cv.record.redact import redact
from lightning_cv.sweep.storage.base import Storage, shown_url

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

_BEAT = "worker "  # beginning of the names of a study's attributes in which its processes give signs of life

# What has to be installed for a kind of database, and the extra of this package that brings it.
_DRIVERS = {"postgresql": ("psycopg", "postgres"), "mysql": ("pymysql", "mysql"), "sqlite": ("sqlite3", "")}


class Database(Storage):
    """A database server for many machines, or an SQLite file for one worker."""

    def __init__(self, given: str) -> None:
        import sqlalchemy
        from optuna.storages import RDBStorage, get_storage

        self._url = read_url(given)
        self.text = shown_url(given)
        self.shared = self._kind != "sqlite"
        self._threads = threading.RLock()
        url = self._url.render_as_string(hide_password=False)
        try:
            self._engine: Engine = sqlalchemy.create_engine(
                self._url, pool_pre_ping=True, poolclass=sqlalchemy.NullPool
            )
            with self.lock("tables"):  # two that make the tables at once would both fail
                # With Optuna's cache, so that trials that have ended are read once.
                self.optuna = get_storage(RDBStorage(url, engine_kwargs={"pool_pre_ping": True}))
        except sqlalchemy.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise UserError(f"storage {self.text}: cannot be used ({redact(reason)!s:.200})") from error

    @property
    def _kind(self) -> str:
        return self._url.get_backend_name()

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """See `Storage`: a lock that the server gives to a connection, and takes back when that ends."""
        from sqlalchemy import text

        if self._kind == "sqlite":
            with self._threads:
                yield
            return
        digest = hashlib.blake2b(f"lightning_cv {study}".encode(), digest_size=7).digest()
        number = int.from_bytes(digest, "big")
        take, give = {
            "postgresql": ("SELECT pg_advisory_lock(:key)", "SELECT pg_advisory_unlock(:key)"),
            "mysql": ("SELECT GET_LOCK(:key, -1)", "SELECT RELEASE_LOCK(:key)"),
        }[self._kind]
        key = number if self._kind == "postgresql" else f"lightning_cv-{number}"
        with self._engine.connect() as connection:
            connection.execute(text(take), {"key": key})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text(give), {"key": key})
                connection.commit()

    def beat(self, study: str, name: str) -> None:
        """See `Storage`."""
        number = self.optuna.get_study_id_from_name(study)
        self.optuna.set_study_user_attr(number, f"{_BEAT}{name}", time.time_ns())

    def beats(self, study: str) -> dict[str, int]:
        """See `Storage`."""
        number = self.optuna.get_study_id_from_name(study)
        noted = self.optuna.get_study_user_attrs(number)
        return {key.removeprefix(_BEAT): value for key, value in noted.items() if key.startswith(_BEAT)}


def read_url(given: str) -> URL:
    """The URL of a database, with its driver.

    Raises:
        UserError: it is no such URL, or its driver is not installed; says nothing of the password.
    """
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(given)
        kind = url.get_backend_name()
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UserError(
            f"storage {shown_url(given)}: not the URL of a database; allowed: null (a journal file), "
            "postgresql://user@host/name, mysql://user@host/name, sqlite:///file"
        ) from error
    if "@" in (url.host or ""):
        raise UserError(f"storage {shown_url(given)}: its password holds an @; write it %40, and / %2F, : %3A, ? %3F")
    if kind not in _DRIVERS:
        raise UserError(f"storage {shown_url(given)}: {kind} is not allowed; allowed: {', '.join(_DRIVERS)}")
    module, extra = _DRIVERS[kind]
    if "+" not in url.drivername and extra:
        url = url.set(drivername=f"{kind}+{module}")
    if importlib.util.find_spec(url.drivername.partition("+")[2] or module) is None:
        raise UserError(
            f"storage {shown_url(given)}: needs {module}, which is not installed: pip install 'lightning_cv[{extra}]'"
        )
    return url
