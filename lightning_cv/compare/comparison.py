"""What does comparing runs find, before anything is drawn or printed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning_cv.compare.groups import Contrast, Group, contrasts, group_runs, reference_group
from lightning_cv.compare.metrics import Metric, Mode, choose_metrics, drawn_metrics
from lightning_cv.compare.run import Run
from lightning_cv.compare.settings import Differences, differences
from lightning_cv.compare.twins import Twins, find_twins
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several runs, side by side.

    Args:
        runs: in the order in which they were named.
        labels: a short name for each, no two alike.
        differing: where their settings differ.
        metrics: what is compared.
        drawn: the metrics of which curves are drawn.
        groups: runs that differ in their seed only.
        reference: index of the group with which the others are compared.
        contrasts: how they differ from it.
        twins: runs of one recipe and seed.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    differing: Differences
    metrics: tuple[Metric, ...]
    drawn: tuple[Metric, ...]
    groups: tuple[Group, ...]
    reference: int
    contrasts: tuple[Contrast, ...]
    twins: tuple[Twins, ...]


def compare(
    runs: Sequence[Run],
    metrics: Sequence[str] = (),
    *,
    modes: Mapping[str, Mode] | None = None,
    reference: str | None = None,
) -> Comparison:
    """Compare runs, one at least.

    Args:
        runs: what to compare.
        metrics: names of the metrics to compare; none: see `choose_metrics`.
        modes: whether less or more is better, by metric, where neither a recipe nor the name says.

        reference: label or id of a run whose group the others are compared with; None: see `reference_group`.

    Raises:
        UserError: a metric or a reference that is not there, or a mode that a recipe contradicts.
    """
    labels = label_runs(runs)
    differing = differences([run.recipe for run in runs])
    chosen = choose_metrics(runs, metrics, modes or {})
    groups = group_runs(runs, labels, differing)
    number = reference_group(groups) if reference is None else _group_of(reference, runs, labels, groups)
    return Comparison(
        runs=tuple(runs),
        labels=tuple(labels),
        differing=differing,
        metrics=tuple(chosen),
        drawn=tuple(drawn_metrics(runs, chosen, asked=bool(metrics))),
        groups=tuple(groups),
        reference=number,
        contrasts=tuple(contrasts(runs, groups, chosen, reference=number)),
        twins=tuple(find_twins(runs, groups)),
    )


def _group_of(name: str, runs: Sequence[Run], labels: Sequence[str], groups: Sequence[Group]) -> int:
    for number, group in enumerate(groups):
        if any(name.rstrip("/") in (labels[index], runs[index].run_id, runs[index].source) for index in group.members):
            return number
    raise UserError(f"--reference {name}: none of the runs{hint(name, labels)}")


def label_runs(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its id, with the recipe's name where these differ, else where it was read."""
    ids = [run.run_id for run in runs]
    # The tracker names a run `<recipe>-<id>` already.
    alone = [run.name == run.run_id or run.name.endswith(f"-{run.run_id}") for run in runs]
    named = [run.name if ends else f"{run.name}/{run.run_id}" for run, ends in zip(runs, alone, strict=True)]
    several = len({run.name for run in runs}) > 1
    labels = named if several else ids
    return [label if labels.count(label) == 1 else run.source for label, run in zip(labels, runs, strict=True)]
