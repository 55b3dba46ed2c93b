"""How is one candidate tried, in processes that may run out of memory without harm to this one?"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_cv.errors import BUG, UserError
from lightning_cv.run.batch.memory import held_bytes
from lightning_cv.run.batch.probe import Verdict

Program = Callable[[Path], Verdict]  # gets a folder to write into

_LOOK_EVERY_S = 0.05
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LAUNCHERS_STORE = "TORCHELASTIC_USE_AGENT_STORE"


@dataclass(frozen=True)
class Places:
    """Which processes of a trial this one starts.

    Args:
        environments: the variables of each, beyond those of this process.
        memory: bytes of the machine's memory that each may hold; None: no limit is known.
    """

    environments: Sequence[Mapping[str, str]]
    memory: int | None = None


def local_places(number: int, port: int, *, memory: int | None) -> Places:
    """The processes of one machine, as Lightning's launcher would start them."""
    if number == 1:
        return Places([{}], memory)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": str(number)}
    return Places([{**shared, "LOCAL_RANK": str(rank)} for rank in range(number)], memory)


def own_place(port: int, *, memory: int | None) -> Places:
    """One process, in the place of this one that a launcher started; it meets the others at another port."""
    return Places([{"MASTER_PORT": str(port), _LAUNCHERS_STORE: "False"}], memory)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
        return port


def run_trial(program: Program, places: Places, *, is_over: Callable[[], bool]) -> list[Verdict]:
    """Fork this process for each place, run the program in each, and wait for them; all are gone afterwards.

    As soon as one does not fit, or `is_over` says that one elsewhere does not, the others are ended: they would
    wait for it for ever.

    Raises:
        UserError: this process has used a GPU already, which a fork of it cannot.
    """
    if torch.cuda.is_initialized():
        raise UserError("--batch auto: this process has used a GPU already; start lightning-cv fit by itself")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        children: dict[int, Path] = {}
        try:
            for number, variables in enumerate(places.environments):
                own = folder / str(number)
                own.mkdir()
                children[_fork(program, own, variables)] = own
            verdicts = list(_ends(children, places.memory, is_over=is_over))
        finally:
            for pid in children:
                _end(pid)
        return verdicts


def _fork(program: Program, folder: Path, variables: Mapping[str, str]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        with contextlib.suppress(OSError):  # both do it, so that it is done whoever is first
            os.setpgid(child, child)
        return child
    status = BUG
    try:
        _stand_apart(parent, folder)
        os.environ.update(variables)
        program(folder).write(folder / "verdict.json")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _stand_apart(parent: int, folder: Path) -> None:
    """Say nothing on the terminal, die with the parent, and be the first to die where memory runs out."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(BUG)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(said, stream)


def _ends(children: Mapping[int, Path], memory: int | None, *, is_over: Callable[[], bool]) -> Iterator[Verdict]:
    """The verdict of each process, until one does not fit."""
    living = dict(children)
    peaks = dict.fromkeys(children, 0)
    while living:
        ended = []
        for pid in list(living):
            peaks[pid] = max(peaks[pid], held_bytes(pid))
            if memory is not None and peaks[pid] > memory:
                yield Verdict("memory", peaks[pid], memory)
                return
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                peaks[pid] = max(peaks[pid], usage.ru_maxrss * 1024)
                ended.append(_verdict(living.pop(pid), status, peak=peaks[pid], memory=memory))
        yield from ended
        if is_over() or any(verdict.outcome != "fits" for verdict in ended):
            return
        if living:
            time.sleep(_LOOK_EVERY_S)


def _verdict(folder: Path, status: int, *, peak: int, memory: int | None) -> Verdict:
    """What a process left behind, or what its end says."""
    if memory is not None and peak > memory:
        return Verdict("memory", peak, memory)
    try:
        told = Verdict.read(folder / "verdict.json")
    except (OSError, ValueError):
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            return Verdict("memory", peak, memory or 0)  # the system ends what takes too much
        said = (folder / "said.txt").read_text(errors="replace")[-4000:]
        return Verdict("wrong", text=f"{said}\nthe process that tried it ended ({status=})", exit_code=BUG)
    return told if told.limit or told.outcome == "wrong" else Verdict(told.outcome, peak, memory or 0)


def _end(pid: int) -> None:
    """End a process with all that it started, if it has not ended, and forget it."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
