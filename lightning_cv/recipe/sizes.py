"""How many bytes is a size such as 20GB, and how is a number of bytes told?"""

import re

from lightning_cv.errors import UserError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY_UNITS = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def read_size(text: str, name: str) -> int:
    """Bytes, 1 or more, of a number with or without a unit: 512MB, 1.5 GiB, 1000000.

    Args:
        text: as given; large and small letters are the same.
        name: of the option, for the error.

    Raises:
        UserError: no number, another unit, or less than one byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    size = (_UNITS | _BINARY_UNITS).get(match[2].upper()) if match else None
    if match is None or size is None or float(match[1]) * size < 1:
        raise UserError(f"{name} {text:.40}: give a size such as 20GB, 512MB or 1.5GiB")
    return int(float(match[1]) * size)


def size_text(num_bytes: float) -> str:
    """A number of bytes in the largest unit of 1,000 that leaves 1 or more, with two or three digits: 1.3 GB."""
    for unit in ("TB", "GB", "MB", "KB"):
        if num_bytes >= _UNITS[unit]:
            amount = num_bytes / _UNITS[unit]
            return f"{amount:.1f} {unit}" if amount < 100 else f"{amount:.0f} {unit}"
    return f"{num_bytes:.0f} B"
