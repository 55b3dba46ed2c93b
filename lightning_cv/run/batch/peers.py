"""How do processes that a launcher started try the same candidate together, before they are connected?"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.run.batch.probe import Verdict
from lightning_cv.run.processes.exchange import Exchange
from lightning_cv.run.processes.launched import launch_name

_PREFIX = ".batch-"
_LOOK_EVERY_S = 0.05


class Peers:
    """Files in a folder that all processes see. The first one says whose turn it is; each tells what came of it.

    Args:
        place: a folder that all processes see; a new one in it is used, and removed at the end.
        rank: of this process.
        number: of processes; 1: nothing is written.
        bound_s: how long one waits for another.

    Raises:
        UserError: they do not find one another.
    """

    def __init__(self, place: Path, rank: int, number: int, *, bound_s: float) -> None:
        self.rank = rank
        self._number = number
        self._bound_s = bound_s
        self._folder = place
        self._place = place
        self._turns = 0
        if number == 1:
            return
        exchange = Exchange(place / f"{_PREFIX}start-{launch_name()}", rank, number, bound_s=bound_s)
        if rank == 0:
            self._folder = (place / f"{_PREFIX}{secrets.token_hex(8)}").resolve()
            self._folder.mkdir(parents=True)
            exchange.tell({"folder": str(self._folder)})
        else:
            self._folder = Path(exchange.ask()["folder"])

    def begin_turn(self, content: Mapping[str, Any]) -> None:
        """Called by the first one: say what all do now."""
        self._turns += 1
        if self._number > 1:
            write_text_atomically(self._folder / f"turn-{self._turns}.json", json.dumps(content))

    def await_turn(self) -> dict[str, Any]:
        """Called by the others: what all do now.

        Raises:
            UserError: the first one says nothing.
        """
        self._turns += 1
        path = self._folder / f"turn-{self._turns}.json"
        self._wait(path.is_file, whom="the first process")
        turn: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return turn

    def tell(self, verdicts: Sequence[Verdict]) -> None:
        """What came of this turn here."""
        if self._number > 1:
            text = json.dumps([asdict(verdict) for verdict in verdicts])
            if any(verdict.outcome != "fits" for verdict in verdicts):
                (self._folder / f"over-{self._turns}").touch()
            write_text_atomically(self._told(self.rank), text)

    def is_over(self) -> bool:
        """Whether it is known to fit nowhere, from any process."""
        return self._number > 1 and (self._folder / f"over-{self._turns}").exists()

    def collect(self, own: Sequence[Verdict]) -> list[Verdict]:
        """Called by the first one: what came of this turn everywhere.

        Raises:
            UserError: a process says nothing.
        """
        verdicts = list(own)
        for rank in range(1, self._number):
            path = self._told(rank)
            self._wait(path.is_file, whom=f"process {rank} of {self._number}")
            verdicts += [Verdict(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
        return verdicts

    def leave(self) -> None:
        """Called by all after the last turn: the first one waits for the others, and removes the folder."""
        if self._number == 1:
            return
        if self.rank > 0:
            with suppress(OSError):
                (self._folder / f"left-{self.rank}").touch()
            return
        with suppress(UserError):
            for rank in range(1, self._number):
                self._wait((self._folder / f"left-{rank}").exists, whom=f"process {rank}")
        shutil.rmtree(self._folder, ignore_errors=True)
        for folder in (self._place, self._place.parent):  # a run that begins now makes them again
            if folder.absolute() == Path.cwd():
                return
            with suppress(OSError):
                folder.rmdir()

    def _told(self, rank: int) -> Path:
        return self._folder / f"told-{self._turns}-{rank}.json"

    def _wait(self, is_there: Callable[[], bool], *, whom: str) -> None:
        until_s = time.monotonic() + self._bound_s
        while not is_there():
            if time.monotonic() > until_s:
                raise UserError(f"--batch auto: {whom} has said nothing for {self._bound_s:.0f} s")
            time.sleep(_LOOK_EVERY_S)
