"""Which metrics are compared, and is more of them better or less?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_cv.compare.run import Run
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint

Mode = Literal["min", "max"]

_LESS = {
    *("loss", "error", "err", "nll", "bce", "mse", "rmse", "mae", "fid", "kid", "perplexity", "ppl", "lpips", "ece"),
    *("bpd", "brier", "distance", "divergence", "regret", "ms", "seconds"),
}
_MORE = {
    *("accuracy", "acc", "ap", "map", "ar", "mar", "iou", "miou", "dice", "f1", "auc", "auroc", "auprc", "precision"),
    *("recall", "psnr", "ssim", "top", "r2", "kappa", "mcc", "score", "sensitivity", "specificity"),
}
_SHOWN = 6


@dataclass(frozen=True)
class Metric:
    """A metric that is compared.

    Args:
        name: as logged, `stage/name`.
        mode: whether less or more of it is better; None: nobody says.
        reason: where the mode comes from: "recipe", "--mode" or "name"; empty if nobody says.
    """

    name: str
    mode: Mode | None
    reason: str = ""

    @property
    def arrow(self) -> str:
        """`↑` if more is better, `↓` if less is, nothing if nobody says."""
        return {"max": "↑", "min": "↓", None: ""}[self.mode]


def choose_metrics(runs: Sequence[Run], names: Sequence[str], modes: Mapping[str, Mode]) -> list[Metric]:
    """The metrics to compare: the given ones, or else the monitored ones first, then those of validation and test.

    Args:
        runs: what is compared.
        names: what the user asks for; none: a choice is made.
        modes: what the user says on the modes, by metric.

    Raises:
        UserError: a metric that no run has, or a mode that a recipe contradicts.
    """
    known = dict.fromkeys(name for run in runs for name in run.curves)
    for option, given in (("--metric", names), ("--mode", modes)):
        for name in given:
            if name not in known:
                raise UserError(f"{option} {name}: no run has this metric{hint(name, known)}")
    chosen = list(dict.fromkeys(names)) or _headline(runs, known)
    return [_metric(name, runs, modes) for name in chosen]


def drawn_metrics(runs: Sequence[Run], metrics: Sequence[Metric], *, asked: bool) -> list[Metric]:
    """The metrics whose curves are drawn: all that were asked for, or else the first and other monitored ones."""
    if asked:
        return list(metrics)
    monitored = {run.monitor for run in runs}
    return [metric for index, metric in enumerate(metrics) if index == 0 or metric.name in monitored]


def mode_by_name(name: str) -> Mode | None:
    """What the words in a metric's name say of its mode; None if nothing. "error" outweighs "top5"."""
    last = name.rpartition("/")[2].lower()
    words = {word for part in re.findall(r"[a-z]+\d*", last) for word in (part, part.rstrip("0123456789"))}
    if words & _LESS or last.endswith(("loss", "error")):
        return "min"
    if words & _MORE or last.endswith(("accuracy", "iou", "_per_s")):
        return "max"
    return None


def _headline(runs: Sequence[Run], known: Mapping[str, None]) -> list[str]:
    monitored = [run.monitor for run in runs if run.monitor in known]
    scores = sorted((name for name in known if name.startswith(("val/", "test/"))), key=_rank)
    chosen = list(dict.fromkeys([*(name for name in monitored if name), *scores]))[:_SHOWN]
    # Without validation: the loss of training, else whatever there is.
    fallback = [name for name in ("train/loss", "loss", *known) if name in known]
    return chosen or fallback[:1]


def _rank(name: str) -> tuple[bool, bool, str]:
    """Scores first, those of validation before those of the test, losses behind; unknown ones last."""
    return mode_by_name(name) is None, mode_by_name(name) == "min", name.removeprefix("val/")


def _metric(name: str, runs: Sequence[Run], modes: Mapping[str, Mode]) -> Metric:
    said: dict[Mode, Run] = {}
    for run in runs:
        if run.monitor == name and run.mode is not None:
            said.setdefault(run.mode, run)
    if len(said) > 1:
        sources = ", ".join(f"{run.source} says {mode}" for mode, run in said.items())
        if name not in modes:
            raise UserError(f"{name}: {sources}; give --mode {name}=max or --mode {name}=min")
        return Metric(name, modes[name], "--mode")
    for mode, run in said.items():
        if modes.get(name, mode) != mode:
            raise UserError(f"--mode {name}={modes[name]}: the recipe of {run.source} says {mode}")
        return Metric(name, mode, "recipe")
    if name in modes:
        return Metric(name, modes[name], "--mode")
    by_name = mode_by_name(name)
    return Metric(name, by_name, "name" if by_name else "")
