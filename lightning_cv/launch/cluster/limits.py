"""How long may a job run, in the words of SLURM?"""

from __future__ import annotations

import re

_UNLIMITED = ("infinite", "unlimited")
# Minutes and hours are written with two digits, but any number is taken, as SLURM does.
_FORMS = (
    re.compile(r"(?P<minutes>\d+)(:(?P<seconds>\d+))?"),
    re.compile(r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)"),
    re.compile(r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?"),
)
_SECONDS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def read_limit(text: str) -> int | None:
    """Seconds of a time limit; None: without end.

    Raises:
        ValueError: not one of SLURM's forms (sbatch(1), --time), or nothing at all.
    """
    if text.lower() in _UNLIMITED:
        return None
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    parts = {name: int(value) for name, value in found.groupdict(default="0").items()} if found else {}
    seconds = sum(_SECONDS[name] * value for name, value in parts.items())
    if seconds < 1:
        raise ValueError("a time above 0 such as 30 (minutes), 12:00:00 or 2-00:00:00")
    return seconds


def show_time(seconds: float) -> str:
    """Seconds as SLURM writes them: `0:42`, `1:05:00`, `2-03:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
