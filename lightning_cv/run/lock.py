"""How is a run kept from being trained by two programs at once, as when a cluster starts its job a second time?"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from lightning_cv.errors import UserError

# Loader processes of a killed training notice within seconds that it is gone, and hold its lock until then.
_WAIT_S = 10.0


class RunLock:
    """Holds `.lock` in a run's folder until it is released or the process ends, however it ends.

    Args:
        folder: of the run.

    Raises:
        UserError: another process trains the run; names it.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] | None = (folder / ".lock").open("a+")
        give_up_s = time.monotonic() + _WAIT_S
        while not _lock(self._file):
            if time.monotonic() > give_up_s:
                self._file.seek(0)
                holder = self._file.read().strip() or "another process"
                raise UserError(f"{folder}: this run is being trained by {holder}; wait for its end, or stop it")
            time.sleep(0.2)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let others train the run."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: nothing can be known
    return True
