"""What did a check find, how bad is it, and how is it mended?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How bad something is, the worst last.

    ok: as it should be. note: good to know, nothing to mend. warning: training works, but slower, with less than
    the machine has, or at a risk. broken: training fails, or would run on the CPU where a GPU was meant.
    """

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Args:
        check: what was looked at.
        status: how bad it is.
        found: what is there, in one line.
        mend: what to do about it, in one line; empty where there is nothing to do.
    """

    check: str
    status: Status
    found: str
    mend: str = ""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Status:
    """The worst status of all; ok where there are none."""
    order = list(Status)
    return max((finding.status for finding in findings), key=order.index, default=Status.OK)


def size(number: float) -> str:
    """Bytes as people read them, in powers of 1024: `64 MiB`, `1.5 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(number) >= 1024 and len(units) > 1:
        number /= 1024
        del units[0]
    text = f"{number:.1f}".removesuffix(".0") if number < 100 else f"{number:.0f}"
    return f"{text} {units[0]}"


def count(number: int, noun: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def numbers(values: Iterable[int]) -> str:
    """Numbers as ranges: `0-3, 6`."""
    ranges: list[list[int]] = []
    for value in sorted(set(values)):
        if ranges and value == ranges[-1][1] + 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
