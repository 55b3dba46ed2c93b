"""Which points of its curves does W&B have of a run already, so that none is missing and none comes twice?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_cv.tracking.segments import STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = tuple[int, Mapping[str, float]]  # an optimizer step and what was measured there

_COMPANIONS = ("epoch",)  # stand in every row, and are no reason for one


class Present:
    """What W&B has, by optimizer step.

    Args:
        keys: names that it has at each step.
        until: of every step up to this one it has everything; -1: of none.
        further: how many rows it has behind that which nobody can name any more.
    """

    def __init__(self, keys: Mapping[int, set[str]] | None = None, *, until: int = -1, further: int = 0) -> None:
        self._keys = dict(keys or {})
        self._until = until
        self._further = further
        self._further_steps: set[int] = set()

    def missing(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a row that W&B lacks; empty: nothing. Rows must come in the order of their steps."""
        if step <= self._until or step in self._further_steps:
            return {}
        if self._further:
            self._further -= 1
            self._further_steps.add(step)
            return {}
        present = self._keys.get(step, set())
        missing = {name: value for name, value in metrics.items() if name not in present}
        return missing if not missing.keys() <= {STEP, *_COMPANIONS} else {}


def present_in(rows: Iterable[Mapping[str, Any]]) -> Present:
    """What the rows of earlier segments say."""
    keys: dict[int, set[str]] = {}
    for row in rows:
        step = row.get(STEP)
        if isinstance(step, (int, float)):
            keys.setdefault(int(step), set()).update(row)
    return Present(keys)


def present_on_server(
    summary: Mapping[str, Any], next_row: int, rows: Sequence[Row], *, uploaded: Sequence[Any] = ()
) -> Present:
    """What a server says.

    The optimizer step of its last row is in its summary, which may be some rows late where a run was killed: the
    count of rows tells how many. It may also be a row early: W&B writes the summary of a row before the row, and a kill
    comes in between. Then the server has as many rows as the run's files, and these name the last one.

    Args:
        summary: the run's, as the server knows it.
        next_row: the count of rows that the next one will get; 0: it has none.
        rows: all that the run measured, in order.
        uploaded: the optimizer steps of all rows that the run's files hold, in order.
    """
    last, row_of_last = summary.get(STEP), summary.get("_step")
    if next_row == len(uploaded) and uploaded:
        last, row_of_last = uploaded[-1], next_row - 1
    if next_row <= 0 or not isinstance(last, (int, float)):
        return Present()
    steps = [step for step, _ in rows]
    ahead = next_row - 1 - int(row_of_last) if isinstance(row_of_last, (int, float)) else 0
    if int(last) not in steps or not ahead:
        return Present(until=int(last))
    position = steps.index(int(last)) + ahead
    if position < 0:
        return Present()
    return Present(until=steps[min(position, len(steps) - 1)], further=max(0, position - len(steps) + 1))
