"""How are programs started, watched and ended from several threads, each with a status that says how it ended?"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOST = -999  # the process that knew its status died; what it was is for its files to say


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to start.

    Args:
        words: the program and its arguments; nothing goes through a shell.
        entry: `module:function` that is called with the arguments in a fork of the warm process; None: a new
            process executes the words.
        log: file that gets its output, appended; its folder exists.
        environ: variables beyond those of this process.
        folder: to work in.
    """

    words: Sequence[str]
    entry: str | None
    log: Path
    environ: Mapping[str, str]
    folder: Path


class Program:
    """One started command, in a process group of its own."""

    def __init__(self) -> None:
        self._started = threading.Event()
        self._ended = threading.Event()
        self.pid: int | None = None
        self.status: int | None = None  # once ended: its exit status, minus a signal's number, or LOST

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        return self._ended.wait(timeout_s)

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or to everything that it started too, if it is still there."""
        self._started.wait()
        if self.pid is None or self._ended.is_set():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if group else os.kill)(self.pid, number)

    def _note(self, answer: Mapping[str, Any]) -> None:
        """What the server says of it."""
        if "pid" in answer:
            self.pid = answer["pid"]
            self._started.set()
        if "status" in answer:
            self.status = answer["status"]
            self._started.set()
            self._ended.set()


class Programs:
    """Starts commands through one fork server, which is started when it is first needed, and again if it dies.

    Args:
        modules: what the warm process imports; none: commands are only ever executed.
        environ: variables of the server, and so of all that it starts.
        log: file that gets what the server itself has to say, appended.
    """

    def __init__(self, modules: Sequence[str], *, environ: Mapping[str, str], log: Path) -> None:
        self._modules = list(modules)
        self._environ = dict(environ)
        self._log = log
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._server: subprocess.Popen[str] | None = None
        self._ready: subprocess.Popen[str] | None = None  # the server that has imported everything
        self._running: dict[int, tuple[Program, subprocess.Popen[str]]] = {}

    def start(self, command: Command) -> Program:
        """Start a command; it may still be waiting for the warm process when this returns."""
        program = Program()
        with self._lock:
            server = self._ensure_server()
            number = next(self._numbers)
            self._running[number] = program, server
            request = {
                "id": number,
                "command": list(command.words),
                "entry": command.entry,
                "environ": dict(command.environ),
                "folder": os.fspath(command.folder.absolute()),
                "log": os.fspath(command.log.absolute()),
            }
            assert server.stdin is not None
            try:
                server.stdin.write(json.dumps(request) + "\n")
                server.stdin.flush()
            except OSError:
                pass  # it just died: its reader tells every program
        return program

    def close(self, timeout_s: float | None = 60.0) -> None:
        """End the server and whatever still runs, with time to save; with None without waiting, by force."""
        with self._lock:
            server, self._server = self._server, None
        if server is None:
            return
        if timeout_s is None or self._ready is not server:  # while it imports it runs nothing, and reads nothing
            for program, _ in list(self._running.values()):
                if program.pid is not None:  # one that waits for the warm process is told by its end
                    program.send(signal.SIGKILL, group=True)
            server.kill()
        assert server.stdin is not None
        with contextlib.suppress(OSError):
            server.stdin.close()
        try:
            server.wait(timeout_s)
        except subprocess.TimeoutExpired:
            server.kill()

    def _ensure_server(self) -> subprocess.Popen[str]:
        if self._server is None or self._server.poll() is not None:
            with self._log.open("ab") as log:
                self._server = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-P", "-m", "lightning_cv.launch.fork_server", *self._modules],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env={**os.environ, **self._environ},
                    start_new_session=True,  # a Ctrl-C at the terminal is for the process that arranges
                )
            threading.Thread(target=self._listen, args=(self._server,), daemon=True).start()
        return self._server

    def _listen(self, server: subprocess.Popen[str]) -> None:
        """Hand the answers of one server to its programs; when it dies, whatever it ran is lost."""
        assert server.stdout is not None
        for line in server.stdout:
            answer = json.loads(line)
            if "ready" in answer:
                self._ready = server
            else:
                self._tell(answer["id"], answer)
        server.wait()
        with self._lock:
            lost = [number for number, (_, owner) in self._running.items() if owner is server]
        for number in lost:
            self._tell(number, {"status": LOST})

    def _tell(self, number: int, answer: Mapping[str, Any]) -> None:
        with self._lock:
            program, _ = self._running.pop(number) if "status" in answer else self._running[number]
        program._note(answer)
