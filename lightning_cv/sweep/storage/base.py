"""Where is a study kept, and how do several processes, perhaps on several machines, change it one at a time?"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_cv.record.redact import redact

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "study.journal"
_SECRET = re.compile("password|passwd|pwd|secret|token", re.IGNORECASE)


class Storage(ABC):
    """The trials of studies, and a lock that only one process and thread holds at a time.

    Attributes:
        optuna: what Optuna keeps studies in.
        text: where that is, without a password.
        shared: whether any number of workers may use it at once.
    """

    optuna: BaseStorage
    text: str
    shared = True

    @abstractmethod
    def lock(self, study: str) -> AbstractContextManager[None]:
        """A context in which nobody else changes which trials of a study are whose.

        It is let go however the process ends.
        """

    @abstractmethod
    def beat(self, study: str, name: str) -> None:
        """Note that the process of this name lives: its value in `beats` changes."""

    @abstractmethod
    def beats(self, study: str) -> dict[str, int]:
        """A number for each process that ever gave a sign of life."""


def open_storage(url: str | None, folder: Path) -> Storage:
    """Open the storage of a study, and make it where there is none.

    Args:
        url: of a database; None: a journal in `folder`.
        folder: of the study, which exists.

    Raises:
        UserError: a URL that is none, a missing driver, or a server that does not let one in.
    """
    import optuna

    from lightning_cv.sweep.storage.database import Database
    from lightning_cv.sweep.storage.journal import Journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return Journal(folder / JOURNAL) if url is None else Database(url)


def shown_url(url: str) -> str:
    """A URL with `***` in the place of its passwords, for people and files; user and host stay.

    In doubt more is hidden: a password may hold anything, also what ends it or begins a query elsewhere.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        _, at, place = url.rpartition("@")
        return f"***@{place}" if at else _without_secrets(url)
    found = re.match(r"(\[[^\]]*\]|[^:/]*)(:?)(.*)", rest, re.DOTALL)  # as SQLAlchemy tells user and password
    assert found is not None
    user, colon, behind = found.groups()
    if not colon:
        return f"{scheme}://{_without_secrets(rest)}"
    _, at, place = behind.rpartition("@")
    if at:
        return f"{scheme}://{user}:***@{_without_secrets(place)}"
    port = re.split("[/?]", behind, maxsplit=1)[0]  # or a password without a host
    shown = port if port.isdecimal() or not port else "***"
    return f"{scheme}://{_without_secrets(user)}:{shown}{_without_secrets(behind[len(port) :])}"


def _without_secrets(text: str) -> str:
    """Host, database and query of a URL, without the settings that are or hold a password."""
    place, question, query = text.partition("?")
    return str(redact(place + question + re.sub(r"([^&;=]+)=([^&;]*)", _hidden, query)))


def _hidden(setting: re.Match[str]) -> str:
    name, value = setting.groups()
    return f"{name}=***" if _SECRET.search(name + value) else setting[0]
