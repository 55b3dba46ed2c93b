"""Which accelerators may the workers of a sweep share out among themselves? Asked without loading torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

VARIABLE = "CUDA_VISIBLE_DEVICES"
_ANSWER_WITHIN_S = 20.0


def visible_devices() -> list[str]:
    """Names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES takes them; none on a CPU."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return devices_listed(done.stdout)


def devices_listed(text: str) -> list[str]:
    """The devices in what `nvidia-smi -L` prints: of a GPU that is cut into parts (MIG) its parts."""
    names: list[str] = []
    for line in text.splitlines():
        found = re.search(r"UUID: ([\w-]+)", line)
        if found is None:
            continue
        is_part = found[1].startswith("MIG")
        if is_part and names and not names[-1].startswith("MIG"):
            names.pop()  # the GPU that is cut: only its parts can be used
        names.append(found[1])
    return names


def share_out(devices: Sequence[str], workers: int, *, each: int) -> list[dict[str, str]]:
    """The variables of each worker's trials: `each` devices of its own, in turn where there are too few.

    Args:
        devices: names, see `visible_devices`; none: nothing is set.
        workers: how many trials run at once.
        each: devices that one trial trains on.
    """
    if not devices:
        return [{} for _ in range(workers)]
    shares = []
    for worker in range(workers):
        mine = [devices[(worker * each + number) % len(devices)] for number in range(min(each, len(devices)))]
        shares.append({VARIABLE: ",".join(mine)})
    return shares
