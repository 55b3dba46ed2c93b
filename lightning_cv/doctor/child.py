"""How is a question asked whose answer may hang or crash? In a process of its own, with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

NO_ANSWER = "no answer"
END_WITHIN_S = 5.0  # what a driver has hung in the kernel does not end even when it is killed


@dataclass(frozen=True)
class Answer:
    """What a child said, and what became of it.

    Args:
        said: everything that it said before it ended.
        problem: why it did not say everything: it failed, crashed or hung; empty: it did.
        at: what it was asked when that happened.
    """

    said: Mapping[str, Any]
    problem: str
    at: str


class Child:
    """A module run as a program of its own, which tells with `answering` what it finds."""

    def __init__(self, module: str, *, environ: Mapping[str, str] | None = None) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
        self._complained: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - no pipe: nothing waits for a reader
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._complained,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )

    def answer(self, timeout_s: float) -> Answer:
        """Wait for the end, at most `timeout_s` seconds."""
        try:
            status: int | None = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
            self.end()
        said, at = _read(self._said)
        complaint = _tail(self._complained)
        self._said.close()
        self._complained.close()
        return Answer(said, _problem(status, complaint, timeout_s), at)

    def end(self) -> None:
        """Kill it, and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WITHIN_S)


def answering() -> Callable[..., None]:
    """Called in the child: a function that says named values, and with `asking` what is asked next.

    What libraries print is dropped.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

    def say(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    return say


def _read(file: IO[bytes]) -> tuple[dict[str, Any], str]:
    """What was said, and what was asked last."""
    file.seek(0)
    said: dict[str, Any] = {}
    for line in file.read().splitlines():
        with contextlib.suppress(ValueError):  # the last one may be cut
            said |= json.loads(line)
    return said, str(said.pop("asking", "Python"))


def _tail(file: IO[bytes]) -> str:
    """The last line of a complaint."""
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split())[:200] if lines else ""


def _problem(status: int | None, complaint: str, timeout_s: float) -> str:
    if status == 0:
        return ""
    if status is None:
        return f"{NO_ANSWER} within {timeout_s:g} s"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return complaint or f"it ends with status {status}"
