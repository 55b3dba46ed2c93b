"""Does the process still live that runs a trial, on this machine or on another?"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field

from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.sweep.storage.base import Storage

BEAT_EVERY_S = 10.0
SILENT_S = 90.0  # a process of another machine that gave no sign for as long is taken for dead


def _now_s() -> float:
    return time.monotonic()


def _new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)} {process_mark(os.getpid())}"


@dataclass
class Owners:
    """This process among those that run trials of a study.

    A process of this machine is looked up by its number and start. One of another machine is known by its
    beats: values in the storage that change. How long one has been silent is measured by this machine's own clock,
    from when it first saw the value, so that clocks need not agree; and only while it listened: after a time in which
    the storage could not be reached, nobody's silence says anything.

    Args:
        storage: of the study.
        study: its name.
    """

    storage: Storage
    study: str
    me: str = field(default_factory=_new_name)
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)  # latest value, and `_listened_s` at its change
    _tried_s: float = -BEAT_EVERY_S
    _looked_s: float = field(default_factory=_now_s)
    _listened_s: float = 0.0

    def beat(self) -> None:
        """Give a sign of life, and look for those of the others; called often, it does so every ten seconds."""
        now_s = _now_s()
        if now_s - self._tried_s < BEAT_EVERY_S:
            return
        self._tried_s = now_s
        self.storage.beat(self.study, _name_of(self.me))
        beats = self.storage.beats(self.study)
        self._listened_s += min(now_s - self._looked_s, 2 * BEAT_EVERY_S)
        self._looked_s = now_s
        for name, value in beats.items():
            if self._seen.get(name, (None, 0.0))[0] != value:
                self._seen[name] = (value, self._listened_s)

    def is_dead(self, owner: str) -> bool:
        """Whether nobody runs what belongs to `owner`; of an empty name nobody does."""
        if not owner:
            return True
        alive = is_alive(owner.partition(" ")[2])
        if alive is not None:
            return not alive
        _, since_s = self._seen.setdefault(_name_of(owner), (-1, self._listened_s))
        return self._listened_s - since_s > SILENT_S


def _name_of(owner: str) -> str:
    return owner.partition(" ")[0]
