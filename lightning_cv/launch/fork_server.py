"""How does a command start in a fraction of a second? Forked from a process that has imported everything already.

Run as a program, `python -m lightning_cv.launch.fork_server MODULE...`: it imports the modules, then reads one
request a line from stdin and answers on stdout (see `serve`). It ends, and everything that it started with it, when
its stdin is closed, which also happens when the process that started it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

END_WITHIN_S = 30.0  # from SIGTERM to SIGKILL, once nobody listens any more
# What a fork imported late is imported here for the next ones, but for what may touch an accelerator, which no
# process may share with its forks.
UNTAUGHT = ("torch.", "triton", "__mp_main__")
BUG = 70
_PR_SET_PDEATHSIG = 1


def main(modules: Sequence[str]) -> int:
    """Import the modules and serve until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a module prints while it is imported is no answer
    _import_all(modules)
    return serve(answers)


def serve(answers: Any) -> int:
    """Serve requests; every line in both directions is a JSON object.

    A request has `id`, `command` (words; the first one is the program), `entry` (`module:function` that takes the words
    behind the first and returns the exit status, called in a fork; null: the command is executed in a new process),
    `environ` (variables to set), `folder` (to work in) and `log` (file that gets its output, appended).
    Answers: `{"id", "pid"}` when it was started, `{"id", "status"}` when it ended; a negative status is the
    number of the signal that killed it. The first answer of all is `{"ready": true}`.
    """
    wake, waker = socket.socketpair()
    for end in (wake, waker):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    running: dict[int, Any] = {}
    lessons, teacher = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    inherited = (wake.fileno(), waker.fileno(), lessons.fileno(), answers.fileno())
    with selectors.DefaultSelector() as selector:
        for source in (0, wake, lessons):
            selector.register(source, selectors.EVENT_READ)
        _say(answers, {"ready": True})
        rest = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wake.fileno() in ready:
                wake.recv(4096)
            for pid, status in _ended(running):
                _signal_group(pid, signal.SIGKILL)  # what it left behind: another process of a training may hang
                _say(answers, {"id": running.pop(pid), "status": status})
            if lessons.fileno() in ready:
                _import_all(json.loads(lessons.recv(1 << 20)))
            if 0 in ready:
                read = os.read(0, 1 << 16)
                if not read:
                    return _end_all(running)
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    pid = _start(request, teacher, close=inherited)
                    running[pid] = request["id"]
                    _say(answers, {"id": request["id"], "pid": pid})


def _import_all(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:
            traceback.print_exc()  # whoever needs it says so in the program that needs it


def _wake(number: int, frame: Any) -> None:
    """Nothing to do: the signal itself makes the wakeup descriptor readable."""


def _say(answers: Any, answer: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    except BrokenPipeError:
        pass  # stdin is closed too, then: the next read says so


def _ended(running: dict[int, Any]) -> list[tuple[int, int]]:
    """Process ids and statuses of what has ended since the last time."""
    ended = []
    for pid in running:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def _end_all(running: dict[int, Any]) -> int:
    """Nobody listens any more: let everything save what it can, then make sure that it is gone."""
    for number, within_s in ((signal.SIGTERM, END_WITHIN_S), (signal.SIGKILL, END_WITHIN_S)):
        for pid in running:
            _signal_group(pid, number)
        give_up_s = time.monotonic() + within_s
        while running and time.monotonic() < give_up_s:
            for pid, _ in _ended(running):
                _signal_group(pid, signal.SIGKILL)  # what it left behind
                del running[pid]
            time.sleep(0.05)
    return 0


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _start(request: dict[str, Any], teacher: socket.socket, *, close: Sequence[int]) -> int:
    """Fork; the child never returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    server = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = BUG
    try:
        _become(request, close, server=server)
        program, *words = request["command"]
        if request["entry"] is None:
            os.execvp(program, [program, *words])  # noqa: S606 - no shell
        known = set(sys.modules)
        status = _call(request["entry"], words)
        _teach(teacher, known)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else BUG
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _become(request: dict[str, Any], close: Sequence[int], *, server: int) -> None:
    """A session, streams, signals, variables and a folder of its own, as a fresh program would have."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for descriptor in close:
        os.close(descriptor)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _end_with(server)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    sys.argv = list(request["command"])


def _end_with(server: int) -> None:
    """Get SIGTERM when the server dies, however it does; where there is no such call it is only stopped in order."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != server:
        os.kill(os.getpid(), signal.SIGTERM)


def _call(entry: str, words: list[str]) -> int:
    module, _, name = entry.partition(":")
    status: int = getattr(importlib.import_module(module), name)(words)
    return status


def _teach(teacher: socket.socket, known: set[str]) -> None:
    """Tell the server what was imported here, so that the next fork need not."""
    new = [name for name, module in list(sys.modules.items()) if name not in known and _is_lesson(name, module)]
    with contextlib.suppress(OSError):
        if new:
            teacher.setblocking(False)
            teacher.send(json.dumps(new).encode())


def _is_lesson(name: str, module: Any) -> bool:
    """Whether it can be imported by its name."""
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.name == name and not name.startswith(UNTAUGHT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
