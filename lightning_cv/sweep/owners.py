"""Does the process still live that runs a trial, on this machine or on another?"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field

from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.sweep.storage import Storage

BEAT_EVERY_S = 10.0
SILENT_S = 90.0  # a process of another machine that gave no sign for as long is taken for dead


def _new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)} {process_mark(os.getpid())}"


@dataclass
class Owners:
    """This process among those that run trials of a study.

    A process of this machine is looked up by its number and start. One of another machine is known by its
    beats: values in the storage that change. How long one has been silent is measured by this machine's own clock,
    from when it first saw the value, so that clocks need not agree.

    Args:
        storage: of the study.
        study: its name.
    """

    storage: Storage
    study: str
    me: str = field(default_factory=_new_name)
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _beaten_s: float = -BEAT_EVERY_S

    def beat(self) -> None:
        """Give a sign of life, and look for those of the others; called often, it does so every ten seconds."""
        now_s = time.monotonic()
        if now_s - self._beaten_s < BEAT_EVERY_S:
            return
        self._beaten_s = now_s
        self.storage.beat(self.study, _name_of(self.me))
        for name, value in self.storage.beats(self.study).items():
            if self._seen.get(name, (None, 0.0))[0] != value:
                self._seen[name] = (value, now_s)

    def is_dead(self, owner: str) -> bool:
        """Whether nobody runs what belongs to `owner`; of an empty name nobody does."""
        if not owner:
            return True
        if owner == self.me:
            return False
        alive = is_alive(owner.partition(" ")[2])
        if alive is not None:
            return not alive
        now_s = time.monotonic()
        _, since_s = self._seen.setdefault(_name_of(owner), (-1, now_s))
        return now_s - since_s > SILENT_S


def _name_of(owner: str) -> str:
    return owner.partition(" ")[0]
