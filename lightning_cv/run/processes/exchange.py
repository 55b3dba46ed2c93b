"""How does the first of several processes tell the others something before they are connected?"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.record.atomic import write_text_atomically

PREFIX = ".start-"  # of the folder of a start

_LOOK_EVERY_S = (0.05, 1.0)  # at first, and after a while
_TAKEN_WITHIN_S = 30.0
_ANSWER = "answer.json"


class Exchange:
    """Files in a folder that all processes see: the others say something and wait, the first one answers all at once.

    What they say begins with a number of their own, and an answer counts only for those whose numbers it repeats. So
    what a killed start left behind, in this folder and under the same names, is never taken for a part of this one.

    Args:
        folder: of this start; made by whoever comes first, and removed by the first process once all have read.
        rank: of this process.
        number: of processes.
        bound_s: how long one waits for another.
    """

    def __init__(self, folder: Path, rank: int, number: int, *, bound_s: float) -> None:
        self._folder = folder
        self._rank = rank
        self._number = number
        self._bound_s = bound_s
        self._heard: dict[str, str] = {}

    def hear(self) -> dict[int, str]:
        """What each of the other processes says, by rank; for the first one.

        Raises:
            UserError: one of them has said nothing within the bound.
        """
        for path in (self._folder / _ANSWER, *self._folder.glob("process-*")):
            path.unlink(missing_ok=True)  # of a start that was killed; whoever still waits says it again
        others = range(1, self._number)
        for is_late in _looks(self._bound_s):
            self._heard = {str(rank): text for rank in others if (text := _read(self._said_by(rank)))}
            if len(self._heard) == len(others):
                break
            if is_late:
                missing = next(rank for rank in others if str(rank) not in self._heard)
                raise UserError(
                    f"process {missing} of {self._number} did not start within {self._bound_s:.0f} s, or does not see "
                    f"{self._folder.parent}"
                )
        return {int(rank): text.partition(" ")[2] for rank, text in self._heard.items()}

    def tell(self, answer: Mapping[str, Any]) -> None:
        """Answer the others, heard before or now; returns when they have read it.

        Raises:
            UserError: one of them has said nothing within the bound.
        """
        if not self._heard:
            self.hear()
        write_text_atomically(self._folder / _ANSWER, json.dumps({"heard": self._heard, "answer": answer}))
        for is_late in _looks(_TAKEN_WITHIN_S):
            if is_late or not any(self._said_by(int(rank)).exists() for rank in self._heard):
                break
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):  # the folders of a run that is refused, as far as they are empty
            for folder in list(self._folder.absolute().parents)[:3]:
                if folder == Path.cwd():
                    break
                folder.rmdir()

    def ask(self, text: str = "") -> dict[str, Any]:
        """Say something, one line, to the first process; what it answers.

        Raises:
            UserError: it has not within the bound.
        """
        question, mine = self._said_by(self._rank), f"{secrets.token_hex(16)} {text}"
        for is_late in _looks(self._bound_s):
            if not question.exists():
                with suppress(FileNotFoundError):  # the folder of a killed start is just being removed
                    write_text_atomically(question, mine)
            answer = self._answer(mine)
            if answer is not None:
                with suppress(OSError):
                    question.unlink()
                return answer
            if is_late:
                break
        raise UserError(
            f"process {self._rank} of {self._number} heard nothing from the first one within {self._bound_s:.0f} s, or "
            f"does not see what it writes in {self._folder.parent}"
        )

    def remove_others(self) -> None:
        """Remove what killed starts left beside this one."""
        for path in self._folder.parent.glob(f"{PREFIX}*"):
            if path != self._folder:
                shutil.rmtree(path, ignore_errors=True)

    def _said_by(self, rank: int) -> Path:
        return self._folder / f"process-{rank}"

    def _answer(self, mine: str) -> dict[str, Any] | None:
        try:
            content = json.loads(_read(self._folder / _ANSWER))
            answer: dict[str, Any] = content["answer"]
            return answer if content["heard"].get(str(self._rank)) == mine else None
        except (ValueError, KeyError):
            return None


def _read(path: Path) -> str:
    """The text of a file; empty: there is none now."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _looks(bound_s: float) -> Iterator[bool]:
    """Yields, less and less often, whether the bound is over; for ever."""
    started_s, pause_s = time.monotonic(), _LOOK_EVERY_S[0]
    while True:
        yield time.monotonic() - started_s > bound_s
        time.sleep(pause_s)
        pause_s = min(_LOOK_EVERY_S[1], pause_s * 1.2)
