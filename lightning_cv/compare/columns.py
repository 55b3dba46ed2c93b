"""How do the lines of a progress file become the curves of its metrics?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from lightning_cv.compare.run import Curve

# From which events a metric is taken: the first kind that has it. Every event but "curve" holds all that is
# known at its moment, so of training it repeats values of earlier steps.
_SOURCES = ("curve", "validation", "epoch", "end")
_NUMBERS = {float, int}
_FRESH = "val/"  # "validation" itself measured these; their point of a curve may carry the step before


def curves_of_events(events: Iterable[dict[str, Any]]) -> dict[str, Curve]:
    """The curves that the events of `read_progress` tell of; values that are no numbers are left out.

    Metrics of the test split come from "test"; what "validate" found after training is no part of a curve.
    """
    by_event: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_event.setdefault(event["event"], []).append(event)
    tested = {name: curve for name, curve in _curves(by_event.get("test", ())).items() if name.startswith("test/")}
    validated = _curves(by_event.get("validation", ()))
    curves = {name: curve for name, curve in validated.items() if name.startswith(_FRESH)}
    for kind in _SOURCES:
        for name, curve in (validated if kind == "validation" else _curves(by_event.get(kind, ()))).items():
            curves.setdefault(name, curve)
    return {**curves, **tested}


def _curves(events: Sequence[dict[str, Any]]) -> dict[str, Curve]:
    """Lines with the same metrics are turned into columns together, which is much faster than one by one."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for index, event in enumerate(events):
        alike.setdefault(tuple(event["metrics"]), []).append(index)
    parts: dict[str, list[tuple[list[int], Curve]]] = {}
    for names, indices in alike.items():
        chosen = [events[index] for index in indices]
        steps, epochs, samples, times_s = (_axis(chosen, key) for key in ("step", "epoch", "samples_seen", "time_s"))
        metrics = [event["metrics"] for event in chosen]
        for name in names:
            if name == "epoch":  # Lightning logs it beside the metrics
                continue
            values = [line[name] for line in metrics]
            if set(map(type, values)) <= _NUMBERS:
                parts.setdefault(name, []).append((indices, Curve(steps, epochs, samples, times_s, values)))
    return {name: curves[0][1] if len(curves) == 1 else _merged(curves) for name, curves in parts.items()}


def _merged(parts: list[tuple[list[int], Curve]]) -> Curve:
    """One curve of several that share no line, in the order of the lines."""
    rows = [
        (index, row)
        for indices, curve in parts
        for index, row in zip(
            indices,
            zip(curve.steps, curve.epochs, curve.samples, curve.times_s, curve.values, strict=True),
            strict=True,
        )
    ]
    rows.sort(key=lambda item: item[0])
    steps, epochs, samples, times_s, values = zip(*(row for _, row in rows), strict=True)
    return Curve(steps, epochs, samples, times_s, values)


def _axis(events: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """What the events say under `key`; NaN, or 0 for the step, where that is no number."""
    values = [event.get(key) for event in events]
    if set(map(type, values)) <= ({int} if key == "step" else _NUMBERS):
        return values
    if key == "step":
        return [value if type(value) is int else 0 for value in values]
    return [value if type(value) in _NUMBERS else math.nan for value in values]
