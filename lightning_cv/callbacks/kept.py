"""Which files of a run are kept: those with the best values of a metric so far, and the newest ones?"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

_OURS = re.compile(r"(best|last)-epoch\d+-step\d+\.ckpt")


class Best:
    """The names of files with the k best values; a value must be better, not equal, to take a place.

    Args:
        num_kept: k; 0: none; -1: all.
    """

    def __init__(self, num_kept: int) -> None:
        self.num_kept = num_kept
        self.monitor = ""
        self._sign = 1.0
        self._scores: dict[str, float] = {}  # in the order of their saving
        self._replaced: list[str] = []

    @property
    def names(self) -> list[str]:
        """The files that are kept."""
        return list(self._scores)

    @property
    def name(self) -> str:
        """The file of the best value, the first of equal ones; empty: none."""
        return max(self._scores, key=lambda name: self._sign * self._scores[name], default="")

    @property
    def score(self) -> float | None:
        """The best value; None: none."""
        return self._scores.get(self.name)

    def watch(self, monitor: str, mode: Literal["min", "max"]) -> None:
        """Compare this metric from now on."""
        self.monitor, self._sign = monitor, 1.0 if mode == "max" else -1.0

    def add(self, name: str, score: float) -> bool:
        """Whether a file with this value is to be kept; if so, it takes the place of the worst."""
        if self.num_kept == 0 or math.isnan(score):
            return False
        full = self.num_kept > 0 and len(self._scores) >= self.num_kept
        if full and name not in self._scores:
            worst = min(reversed(self._scores), key=lambda kept: self._sign * self._scores[kept])
            if self._sign * score <= self._sign * self._scores[worst]:
                return False
            del self._scores[worst]
            self._replaced.append(worst)
        self._scores[name] = score
        return True

    def take_replaced(self) -> list[str]:
        """The files that have lost their place since the last call."""
        replaced, self._replaced = self._replaced, []
        return replaced

    def state_dict(self) -> dict[str, Any]:
        """Names and values, and which is the best."""
        return {"monitor": self.monitor, "scores": dict(self._scores), "name": self.name}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up names and values, if they are of the metric that is watched."""
        if state_dict["monitor"] == self.monitor:
            self._scores = dict(state_dict["scores"])


class Newest:
    """The names of the newest files, oldest first.

    Args:
        num_kept: how many are kept.
    """

    def __init__(self, num_kept: int) -> None:
        self.num_kept = num_kept
        self._names: list[str] = []

    @property
    def name(self) -> str:
        """The newest file; empty: none."""
        return self._names[-1] if self._names else ""

    def start(self, names: list[str]) -> None:
        """Begin with these, oldest first."""
        self._names = list(names)

    def add(self, name: str) -> None:
        """Note a new file, or one that was written anew."""
        self._names = [*(earlier for earlier in self._names if earlier != name), name]

    def take_replaced(self) -> list[str]:
        """The files that are too old since the last call."""
        first = max(len(self._names) - self.num_kept, 0)
        replaced, self._names = self._names[:first], self._names[first:]
        return replaced


def files_of_before(folder: Path, *, known: Collection[str]) -> list[str]:
    """Snapshots in a folder that no state names: an interrupted run left them; oldest first."""
    names = [path.name for path in folder.iterdir() if _OURS.fullmatch(path.name) and path.name not in known]
    return sorted(names, key=lambda name: (folder / name).stat().st_mtime_ns)
