"""What is known of one run, wherever it was read from?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

XAxis = Literal["step", "epoch", "samples", "time"]
X_AXES: tuple[XAxis, ...] = ("step", "epoch", "samples", "time")

RUNNING_WITHIN_S = 600.0


@dataclass(frozen=True)
class Curve:
    """The values of one metric, in the order in which they were logged; all lists have one length.

    Args:
        steps: optimizer steps done.
        epochs: from 0; NaN where unknown, as in the next two.
        samples: images trained on, all devices.
        times_s: seconds of training.
        values: of the metric; NaN and infinite ones included.
    """

    steps: Sequence[int]
    epochs: Sequence[float]
    samples: Sequence[float]
    times_s: Sequence[float]
    values: Sequence[float]

    def x(self, axis: XAxis) -> Sequence[float]:
        """Where each value stands on an axis."""
        by_axis = {"step": self.steps, "epoch": self.epochs, "samples": self.samples, "time": self.times_s}
        return by_axis[axis]

    def best(self, mode: Literal["min", "max"]) -> int | None:
        """The index of the first best finite value; None if no value is finite."""
        finite = [index for index, value in enumerate(self.values) if math.isfinite(value)]
        if not finite:
            return None
        return (max if mode == "max" else min)(finite, key=self.values.__getitem__)


@dataclass(frozen=True)
class WandbPath:
    """Where a run is, or will be once it is sent, in W&B; None: the user's default, or unknown."""

    entity: str | None
    project: str | None
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Args:
        source: what the user would write to name it: a folder, or `entity/project/run`.
        name: of the recipe, or of the run in W&B.
        run_id: its id.
        recipe: its settings as plain data; None: they could not be read.
        seed: of all random draws; None: unknown, or none was set.
        status: "completed", "preempted", "interrupted", "failed", "unfinished" or "nothing recorded"; of a sweep's
            trial also "pruned".
        idle_s: seconds since an unfinished run last wrote; None: unknown or of no interest.
        error: why it did not complete, as far as it was said.
        curves: by metric.
        steps, epochs, samples, time_s: how far it trained; None: unknown.
        training: "parameters", "trainable_parameters", "devices", "accelerator", "precision" as far as known.
        started: when it began, in ISO 8601; empty if unknown.
        monitor: the metric by which its best checkpoint is chosen; None: unknown.
        mode: whether less or more of that metric is better; None: unknown.
        wandb: where it is in W&B; None: not recorded there.
        notes: what could not be read, each one line.
    """

    source: str
    name: str
    run_id: str
    recipe: dict[str, Any] | None
    seed: int | None = None
    status: str = "nothing recorded"
    idle_s: float | None = None
    error: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    steps: int | None = None
    epochs: int | None = None
    samples: int | None = None
    time_s: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None
    wandb: WandbPath | None = None
    notes: tuple[str, ...] = ()

    @property
    def samples_per_s(self) -> float | None:
        """Images trained on per second of training, validation included."""
        return self.samples / self.time_s if self.samples and self.time_s else None

    @property
    def status_text(self) -> str:
        """The status; of a run that has no end, since when it is silent."""
        if self.status != "unfinished" or self.idle_s is None:
            return self.status
        if self.idle_s < RUNNING_WITHIN_S:
            return f"running? wrote {duration(self.idle_s)} ago"
        return f"killed? silent for {duration(self.idle_s)}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.6 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, size = (
        ("min", "s", 60) if whole < 3600 else ("h", "min", 3600) if whole < 86400 else ("d", "h", 86400)
    )
    rest = whole % size // {"s": 1, "min": 60, "h": 3600}[small]
    return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")


def settings_monitor(recipe: Mapping[str, Any] | None) -> tuple[str | None, Literal["min", "max"] | None]:
    """The metric that the recipe's callbacks name, and its mode: `snapshot` first, then the others in order."""
    callbacks = (recipe or {}).get("callbacks")
    if not isinstance(callbacks, Mapping):
        return None, None
    for name in sorted(callbacks, key=lambda name: name != "snapshot"):
        callback = callbacks[name]
        arguments = callback.get("init_args") if isinstance(callback, Mapping) else None
        monitor = arguments.get("monitor") if isinstance(arguments, Mapping) else None
        if isinstance(arguments, Mapping) and isinstance(monitor, str) and monitor:
            mode = arguments.get("mode")
            return monitor, mode if mode in ("min", "max") else None
    return None, None
