"""Are sums over all ranks right, and how fast do they come?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import distributed

from lightning_cv.doctor.finding import size
from lightning_cv.doctor.rank_report import Transfer

if TYPE_CHECKING:
    from lightning_cv.doctor.rank import Part

MIB = 1 << 20
SIZES = {"nccl": tuple(MIB << shift for shift in (0, 2, 4, 6, 8)), "gloo": (MIB >> 4, MIB, 16 * MIB)}  # in bytes
_LONG_ENOUGH_S = 0.5
_FEWEST, _MOST = 3, 20


def measure_all_reduce(part: Part) -> None:
    """Check and time the sum of each size; the first rank keeps the times.

    Raises:
        ValueError: a sum is wrong.
    """
    for number in SIZES[part.backend]:
        part.post.begin(f"the all-reduce of {size(number)}", together=True)
        check_sum(part, number)
        part.measured.transfers.append(_time(part, number))


def check_sum(part: Part, number: int) -> None:
    """Sum `number` bytes over all ranks and compare every element.

    The terms are small whole numbers, so that float32 holds every partial sum exactly.

    Raises:
        ValueError: an element is wrong.
    """
    pattern = torch.arange(number // 4, device=part.device).remainder_(4).add_(1).float()
    values = pattern * _factor(part.rank)
    distributed.all_reduce(values)
    expected = pattern * sum(map(_factor, range(part.num_ranks)))
    wrong = int((values != expected).sum())
    if wrong:
        part.post.begin(f"the check of the sum of {size(number)}")
        first = int((values != expected).nonzero()[0])
        raise ValueError(
            f"{wrong:,} of {len(values):,} sums are wrong; number {first} is {values[first]:g}, not {expected[first]:g}"
        )


def _factor(rank: int) -> int:
    return rank % 8 + 1


def _time(part: Part, number: int) -> Transfer:
    """Time of one all-reduce in seconds on the slowest rank, mean over as many as all ranks agree on."""
    values = torch.zeros(number // 4, device=part.device)
    once_s = _slowest(part, _timed(part, values, 1))
    repeats = max(_FEWEST, min(_MOST, int(_LONG_ENOUGH_S / once_s)))
    return Transfer(number, _slowest(part, _timed(part, values, repeats)), part.num_ranks)


def _timed(part: Part, values: torch.Tensor, repeats: int) -> float:
    part.synchronize()
    start_s = time.perf_counter()
    for _ in range(repeats):
        distributed.all_reduce(values)
    part.synchronize()
    return (time.perf_counter() - start_s) / repeats


def _slowest(part: Part, time_s: float) -> float:
    times = torch.tensor([time_s], device=part.device)
    distributed.all_reduce(times, op=distributed.ReduceOp.MAX)
    return float(times)
