"""Is each of the processes that train together alive, and does training get further?"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from lightning_cv.errors import RESOURCES
from lightning_cv.run.processes.board import Board, Entry, Standing, Words
from lightning_cv.run.processes.last_words import words_of_ended, words_of_hung, words_of_stopped
from lightning_cv.run.processes.standing import Standings

AWAY_S = 30.0  # without a beat, before a lock that another machine does not hold any more is believed
GRACE_S = 5.0  # from a cause to the end of the process that tells it, if its main thread does not notice
LEAST_GRACE_S = 2.0  # the same, of any other process
ENDING_S = 8.0  # the same, if it has begun to end


class Watch:
    """A thread that says how this process is, looks at the others, and ends this one where its main thread cannot.

    The first process looks at all others. Each of these looks at the first, which tells them why all are to end,
    and takes its place where it is the one that died or stopped.

    Args:
        board: of the launch.
        num_processes: that train together.
        bound_s: without a sign of life, or without progress within a batch, after which a process is to blame.
        end: ends this process at once; called by the thread with the cause, and whether this process tells it.

    Attributes:
        cause: why all are to end.
        children: the processes that this one started, by rank.
        is_ending: the main thread has noticed.
    """

    def __init__(self, board: Board, num_processes: int, *, bound_s: float, end: Callable[[Words, bool], None]) -> None:
        self.board = board
        self.standings = Standings(bound_s)
        self.children: Mapping[int, subprocess.Popen[bytes]] = {}
        self.cause: Words | None = None
        self.is_ending = False
        self.found = threading.Event()
        self._others = [rank for rank in range(num_processes) if rank != board.own.rank]
        self._interval_s = min(10.0, max(0.5, num_processes / 16))
        self._bound_s = bound_s
        self._end = end
        self._clock_s = 0.0  # of this thread, which stands still while the whole machine does
        self._heard: dict[int, tuple[int, float]] = {}  # last beat of each process, and when it was new
        self._ticked_s = time.monotonic()
        self._found_s = 0.0
        self._blaming = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lightning_cv watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has, so that only one of the two tells the cause."""
        self._stopped.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def await_done(self, timeout_s: float) -> bool:
        """Wait until all others have done their part; False: one failed, or it took longer."""

        def done(rank: int) -> bool:
            entry = self.board.entry(rank)
            return entry is not None and entry.state == "done"

        return self._wait(lambda: all(map(done, self._others)), timeout_s) and self.cause is None

    def await_first(self, timeout_s: float) -> bool:
        """Wait until the first process knows why all are to end; False: it does not, or has died."""

        def knows() -> bool:
            first = self.board.entry(0)
            return first is not None and (first.state != "running" or self.board.is_gone(first))

        first = self.board.entry(0) if self._wait(knows, timeout_s) else None
        return first is not None and first.state != "running"

    def end_others(self, timeout_s: float) -> None:
        """Wait until all others have ended, and end by force those that do not."""

        def ended(rank: int) -> bool:
            child, entry = self.children.get(rank), self.board.entry(rank)
            return child.poll() is not None if child is not None else entry is None or self.board.is_gone(entry)

        if not self._wait(lambda: all(map(ended, self._others)), timeout_s):
            for rank in self._others:
                self._kill(rank)

    def _wait(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        give_up_s = time.monotonic() + timeout_s
        while not is_true():
            if time.monotonic() > give_up_s:
                return False
            time.sleep(0.05)
        return True

    @property
    def tells(self) -> bool:
        """Whether this process is the one that tells the user: the first, or the first that is not to blame."""
        own = self.board.own.rank
        if own == 0 or self.cause is None or self.cause.rank != 0 or self.board.words(0) is not None:
            return own == 0
        if not self.board.folder.is_dir():
            return False
        return all(self._is_gone(entry) for rank in range(1, own) if (entry := self.board.entry(rank)) is not None)

    def tick(self) -> None:
        """Say how this process is, and look at the others; the thread does it about twice a second."""
        now_s = time.monotonic()
        self._clock_s += min(now_s - self._ticked_s, 2 * self._interval_s)
        self._ticked_s = now_s
        with suppress(OSError):  # a file system that is away for a while
            self.board.write(standing=self._stand())
            if self.cause is None:
                self._look()
        if self.cause is None and not self.board.folder.is_dir():
            self.blame(Words(0, "process 0 ended, and with it all others", RESOURCES, time.time()))

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s if self.cause is None else 0.2):
            self.tick()
            if self.cause is not None and time.monotonic() - self._found_s > self._grace_s:
                self._end(self.cause, self.tells)
                return

    @property
    def _grace_s(self) -> float:
        if self.is_ending:
            return ENDING_S
        return GRACE_S if self.tells else LEAST_GRACE_S

    def _stand(self) -> Standing | None:
        try:
            return self.standings.look()
        except Exception:
            return None  # the trainer is being built or taken down

    def _look(self) -> None:
        cause = self.find() or (self._stopped_or_hung() if self.board.own.rank == 0 else self._stopped_first())
        if cause is not None:
            self.blame(cause)

    def blame(self, cause: Words) -> Words:
        """Take this for the cause, unless there is one, and let the others know it; returns the one that counts."""
        with self._blaming:
            if self.cause is None:
                self.cause, self._found_s = cause, time.monotonic()
                if self.tells or cause.rank == self.board.own.rank:
                    self.board.fail(cause)
                entry = self.board.entry(cause.rank)
                if entry is not None and entry.state == "running":  # it cannot end by itself
                    self._kill(cause.rank)
                self.found.set()
            return self.cause

    def find(self, *, is_lost: bool = False) -> Words | None:
        """Why another process ended; None: none did.

        Args:
            is_lost: whether this process has lost the connection to one of them, so that less proves an end.
        """
        found = []
        for rank in self._others if self.board.own.rank == 0 else [0]:
            child = self.children.get(rank)
            status = child.poll() if child is not None else None
            before = self.board.entry(rank)
            is_gone = status is not None or (before is not None and self._is_gone(before, is_lost=is_lost))
            if is_gone and child is not None and status is None:  # its locks go before its status is known
                with suppress(subprocess.TimeoutExpired):
                    status = child.wait(1.0)
            entry = self.board.entry(rank)  # again: its last words may be newer than the look before
            words = self.board.words(rank)
            if words is not None:
                found.append(words)
            elif is_gone and (entry is None or entry.state == "running"):
                found.append(words_of_ended(rank, status, entry=entry, crash=self.board.crash_of(rank)))
        return min(found, key=lambda words: (words.by_signal, words.is_consequence, words.time_s), default=None)

    def _is_gone(self, entry: Entry, *, is_lost: bool = False) -> bool:
        return self.board.is_gone(entry) and (entry.is_here or is_lost or self._silent_s(entry) > AWAY_S)

    def _silent_s(self, entry: Entry) -> float:
        """How long a process has given no sign of life."""
        beat, at_s = self._heard.get(entry.rank, (-1, 0.0))
        if beat != entry.beat:
            self._heard[entry.rank] = entry.beat, self._clock_s
            return 0.0
        return self._clock_s - at_s

    def _stopped_first(self) -> Words | None:
        entry = self.board.entry(0)
        if entry is None or entry.state != "running":
            return None
        silent_s = self._silent_s(entry)
        return words_of_stopped(entry, silent_s) if silent_s > self._bound_s else None

    def _stopped_or_hung(self) -> Words | None:
        entries = [entry for rank in self._others if (entry := self.board.entry(rank)) is not None]
        running = [entry for entry in entries if entry.state == "running"]
        for entry in running:
            silent_s = self._silent_s(entry)
            if silent_s > self._bound_s:
                return words_of_stopped(entry, silent_s)
        if len(running) < len(self._others) or self.board.own.state != "running":
            return None
        return hung([self.board.own, *running])

    def _kill(self, rank: int) -> None:
        """End a process that cannot do so itself, where it is of this machine."""
        child, entry = self.children.get(rank), self.board.entry(rank)
        if child is not None:
            child.kill()
        elif rank != self.board.own.rank and entry is not None and entry.is_here and not self.board.is_gone(entry):
            with suppress(OSError):
                os.kill(entry.pid, signal.SIGKILL)


def hung(entries: Sequence[Entry]) -> Words | None:
    """Who hangs, if nobody gets further: those that are behind all others, where they may not stay for so long.

    A process that waits for others stands in the same event as they, or further on.
    """
    least = min(entry.standing.place for entry in entries)
    behind = [entry for entry in entries if entry.standing.place == least]
    limits = [entry.standing.limit_s for entry in behind]
    idle_s = min(entry.standing.idle_s for entry in entries)
    if any(limit is None or idle_s <= limit for limit in limits):
        return None
    return words_of_hung([entry for entry in behind if not entry.standing.waits] or behind, idle_s)
