"""Programs named as SLURM's, put on the PATH: each notes its words, its environment and its files, and says what it is
told to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PROGRAMS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel", "sinfo")
_FOLDERS: list[TemporaryDirectory[str]] = []  # until the tests end
# `status` and `says` are read at each call; the last word of sbatch is a file, of which a copy is kept.
_PROGRAM = """\
#!/bin/bash
here={folder}
printf '%s\\0' "$@" >> "$here/words"
printf '\\0\\0' >> "$here/words"
env -0 > "$here/environment"
[[ {name} == sbatch ]] && cp -- "${{@: -1}}" "$here/script"
[[ -f $here/does ]] && . "$here/does"
[[ -f $here/says ]] && cat "$here/says"
[[ -f $here/complains ]] && cat "$here/complains" >&2
[[ -f $here/status ]] && exit "$(cat "$here/status")"
exit 0
"""


@dataclass(frozen=True)
class FakeSlurm:
    """What the programs were told, and what they are to say.

    Args:
        folder: with a folder for each program.
    """

    folder: Path

    def set(self, program: str, *, says: str = "", complains: str = "", does: str = "", status: int = 0) -> None:
        """Let a program print, complain, run a line of bash, and end with a status."""
        for name, content in (("says", says), ("complains", complains), ("does", does), ("status", f"{status}")):
            (self.folder / program / name).write_text(content)

    def calls(self, program: str) -> list[list[str]]:
        """The words of each call."""
        path = self.folder / program / "words"
        if not path.is_file():
            return []
        *calls, _ = path.read_bytes().decode().split("\0\0\0")
        return [call.split("\0") for call in calls]

    def environment(self, program: str) -> dict[str, str]:
        """The variables of its last call."""
        pairs = (self.folder / program / "environment").read_bytes().decode().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def script(self) -> str:
        """What was handed to sbatch last."""
        return (self.folder / "sbatch" / "script").read_text()


def fake_slurm(folder: Path, patch: pytest.MonkeyPatch, *, without: tuple[str, ...] = ()) -> FakeSlurm:
    """Put the programs on the PATH, and hide real ones; `without`: those that there are not to be."""
    programs = folder / "programs"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        (folder / name).mkdir()
        if name not in without:
            path = programs / name
            path.write_text(_PROGRAM.format(folder=folder / name, name=name))
            path.chmod(0o755)
    patch.setenv("PATH", f"{programs}{os.pathsep}{_without_slurm(os.environ['PATH'])}")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        patch.delenv(name)
    return FakeSlurm(folder)


@cache
def _without_slurm(path: str) -> str:
    """A PATH whose folders that hold a real SLURM are replaced by links to everything else in them."""
    kept = []
    for place in path.split(os.pathsep):
        if not any((Path(place) / name).exists() for name in PROGRAMS):
            kept.append(place)
            continue
        links = TemporaryDirectory(prefix="path-without-slurm-")
        _FOLDERS.append(links)
        for program in Path(place).iterdir():
            if program.name not in PROGRAMS:
                (Path(links.name) / program.name).symlink_to(program)
        kept.append(links.name)
    return os.pathsep.join(kept)
