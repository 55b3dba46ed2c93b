"""Do runs of one recipe and one seed agree, as a resumed run must with one that was never interrupted?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_cv.compare.groups import Group
from lightning_cv.compare.run import Curve, Run

_TIMED = ("throughput/",)  # how fast the machine was, which no seed fixes


@dataclass(frozen=True)
class Twins:
    """Two runs of one recipe and one seed.

    Args:
        first, second: their indices.
        num_values: how many values of metrics were compared; those of time and speed are not.
        unequal: the first unequal value of each metric that has one: name, step, first value, second value.
        only_one: how many values only one of them has, at steps to which both got.
        to_step: the last step to which both got.
    """

    first: int
    second: int
    num_values: int
    unequal: tuple[tuple[str, int, float, float], ...]
    only_one: int
    to_step: int

    @property
    def agree(self) -> bool:
        """Whether nothing differs."""
        return self.num_values > 0 and not self.unequal and not self.only_one


def find_twins(runs: Sequence[Run], groups: Sequence[Group]) -> list[Twins]:
    """Of each group and seed, every further run against the first one; runs of an unknown seed have none."""
    found = []
    for group in groups:
        first_of: dict[int, int] = {}
        for index in group.members:
            seed = runs[index].seed
            if seed is None or runs[index].recipe is None:
                continue
            first = first_of.setdefault(seed, index)
            if first != index:
                found.append(_compare(runs, first, index))
    return found


def _compare(runs: Sequence[Run], first: int, second: int) -> Twins:
    one, two = runs[first], runs[second]
    to_step = min(_last_step(one), _last_step(two))
    # A run that has no end may have been stopped between two lines of one step.
    complete_to = to_step if one.status == two.status == "completed" else to_step - 1
    unequal: list[tuple[str, int, float, float]] = []
    num_values = only_one = 0
    for name in dict.fromkeys([*one.curves, *two.curves]):
        if name.startswith(_TIMED):
            continue
        left, right = (_by_step(run.curves.get(name)) for run in (one, two))
        common = [place for place in left if place in right]
        num_values += len(common)
        only_one += sum(step <= complete_to for step, _ in left.keys() ^ right.keys())
        different = [place for place in common if not _equal(left[place], right[place])]
        if different:
            unequal.append((name, different[0][0], left[different[0]], right[different[0]]))
    return Twins(first, second, num_values, tuple(unequal), only_one, to_step)


def _last_step(run: Run) -> int:
    return max((curve.steps[-1] for curve in run.curves.values() if curve.steps), default=0)


def _by_step(curve: Curve | None) -> dict[tuple[int, int], float]:
    """Each value by its step and its number among those of this step: the end of an epoch may add a second one."""
    values: dict[tuple[int, int], float] = {}
    number: Counter[int] = Counter()
    for step, value in zip(curve.steps, curve.values, strict=True) if curve else ():
        values[step, number[step]] = value
        number[step] += 1
    return values


def _equal(one: float, two: float) -> bool:
    return one == two or (math.isnan(one) and math.isnan(two))
