"""What can be said about a job, as a flag of `lightning-cv submit` and under the same name in cluster.yaml?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_cv.launch.cluster.limits import read_limit

MOST = 1_000_000
_ENDS_A_LINE = re.compile(r"[\n\r\0]")


@dataclass(frozen=True)
class Key:
    """One thing that can be said.

    Args:
        name: in cluster.yaml; the flag is `--name`.
        value: what stands for its value in the help; empty for a switch.
        text: one line for the help.
        read: the value as it is used, of one as YAML or the command line gives it; raises ValueError with what is
            allowed.
    """

    name: str
    value: str
    text: str
    read: Callable[[Any], Any]

    @property
    def field(self) -> str:
        """The name in Python."""
        return self.name.replace("-", "_")


def one_line(value: Any) -> str:
    """A text that can stand in one line of a script, in any quotes.

    Raises:
        ValueError: it holds a line break or NUL, or is no text.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or _ENDS_A_LINE.search(value):
        raise ValueError("text in one line, without line breaks and NUL")
    return value


def _count(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
        raise ValueError(f"whole numbers from 1 to {MOST}")
    return number


def _number(value: Any) -> int:
    return 0 if value in (0, "0") and not isinstance(value, bool) else _count(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(map(one_line, value if isinstance(value, list) else [value]))


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(one_line, value))
    try:
        return tuple(shlex.split(one_line(value)))
    except ValueError as error:
        raise ValueError(f"words as in a shell, in one line ({error})") from error


def _memory(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]+[KMGT]?B?", text):
        raise ValueError("a size such as 64G or 500M")
    return text.removesuffix("B")


def _limit(value: Any) -> str:
    text = one_line(value)
    read_limit(text)
    return text


KEYS = (
    Key("nodes", "N", "machines (default: the recipe's trainer.num_nodes)", _count),
    Key("devices", "N", "devices of each machine, a process each (default: the recipe's trainer.devices)", _count),
    Key("gpu", "", "the devices are GPUs: as many are asked for on each machine, unless --gres says which", _switch),
    Key("cpus", "N", "CPU cores for each process", _count),
    Key("memory", "SIZE", "memory of each machine, such as 64G", _memory),
    Key("time", "LIMIT", "minutes, HOURS:MM:SS or DAYS-HOURS:MM:SS", _limit),
    Key("partition", "NAME", "partition, or several with commas", one_line),
    Key("account", "NAME", "who pays", one_line),
    Key("qos", "NAME", "quality of service", one_line),
    Key("constraint", "TEXT", "features that machines must have, such as 'a100|h100'", one_line),
    Key("gres", "TEXT", "generic resources of each machine, such as gpu:a100:4", one_line),
    Key("setup", "LINE", "line of shell before training, such as 'module load cuda'; repeatable", _lines),
    Key("container", "IMAGE", "train in this image, through pyxis' options of srun", one_line),
    Key("container-mounts", "LIST", "what the container sees, as pyxis takes it: /data:/data,/home/me", one_line),
    Key("prefix", "WORDS", "words in front of the program, such as 'apptainer exec image.sif'", _words),
    Key("python", "PROGRAM", "Python to train with (default: this one; with a container or prefix: python3)", one_line),
    Key("lead", "SECONDS", "time to save, between SLURM's signal and the limit (default: 90)", _count),
    Key("no-requeue", "", "do not start the job again after a signal or the failure of a machine", _switch),
    Key("max-restarts", "N", "how often at most it is started again after a signal (default: 50)", _number),
)
BY_NAME = {key.name: key for key in KEYS}
