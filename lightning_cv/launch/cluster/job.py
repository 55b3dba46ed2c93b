"""Which commands does one submission run, and where does what they write go?"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

JOBS = ".jobs"  # folder of the submissions below the folder of runs

Kind = Literal["fit", "seeds", "sweep"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One submission: a run, a run for each of several seeds, or workers of one search.

    Args:
        key: tells it from every other; the run's id too.
        name: of the run or the study.
        kind: what it is.
        words: the command behind `lightning-cv`, as far as its tasks share it.
        parent: absolute folder that its runs go to: `<runs>/<name>`, or the folder of the study.
        folder: absolute, to work in.
        nodes: machines of each task.
        devices: of each machine.
        tasks: how many there are; each is a job of its own for the cluster.
        first_seed: of the first task, for `seeds`.
        run_dir: folder of the run, where the user names it.
    """

    key: str
    name: str
    kind: Kind
    words: tuple[str, ...]
    parent: Path
    folder: Path
    nodes: int = 1
    devices: int = 1
    tasks: int = 1
    first_seed: int = 0
    run_dir: Path | None = None

    @property
    def is_array(self) -> bool:
        """Whether its tasks have numbers."""
        return self.kind != "fit"

    @property
    def processes(self) -> int:
        """How many the cluster starts on each machine: a worker of a search starts those of a trial itself."""
        return 1 if self.kind == "sweep" else self.devices

    @property
    def runs(self) -> list[Path]:
        """Folders of its runs by task; of a search none, since those are its trials'."""
        if self.kind == "sweep":
            return []
        if self.kind == "seeds":
            return [self.parent / self.seed_folder(self.first_seed + task) for task in range(self.tasks)]
        return [self.run_dir or self.parent / self.key]

    def seed_folder(self, seed: int | str) -> str:
        """Name of the folder of the run with this seed."""
        return f"{self.key}-s{seed}"

    def log(self, task: int | str) -> Path:
        """File that gets what a task prints, of all its starts."""
        folder = self.run_dir.parent if self.run_dir else self.parent
        name = self.run_dir.name if self.run_dir else self.key
        return folder / (f"{name}-{task}.log" if self.is_array else f"{name}.log")

    def command(self, task: int) -> list[str]:
        """The words behind `lightning-cv` of one task."""
        if self.kind == "sweep":
            return list(self.words)
        words = [*self.words, "--run-dir", str(self.runs[task])]
        return [*words, "--seed", str(self.first_seed + task)] if self.kind == "seeds" else words


def new_key() -> str:
    """Eight letters and digits, as the ids of runs have."""
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(8))
