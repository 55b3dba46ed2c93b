"""How is work done beside the training, in order, without being lost at the end or doubled by a fork?"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable


class Background:
    """Does one job after another in one thread, which lives only while there is work.

    The interpreter waits for it when it ends. A forked process has neither the thread nor its jobs: those are the
    parent's.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._busy = False
        self._error: BaseException | None = None

    def add(self, job: Callable[[], None]) -> None:
        """Do this when everything that was added before is done."""
        self._forget_after_fork()
        with self._changed:
            self._jobs.append(job)
            if self._busy:
                return
            self._busy = True
        # Not a daemon, which the end of the interpreter would cut off.
        thread = threading.Thread(target=self._work, name="lightning_cv background")
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads, or the interpreter is ending
            self._work()

    def wait(self) -> None:
        """Return when everything is done.

        Raises:
            BaseException: the first error of a job since the last call.
        """
        self._forget_after_fork()
        with self._changed:
            while self._busy:
                self._changed.wait()
            error, self._error = self._error, None
        if error is not None:
            raise error

    def _forget_after_fork(self) -> None:
        if self._process != os.getpid():
            self.__init__()  # type: ignore[misc]

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._busy = False
                    self._changed.notify_all()
                    return
                job = self._jobs.popleft()
            try:
                job()
            except BaseException as error:
                with self._changed:
                    self._error = self._error or error
