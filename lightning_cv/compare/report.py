"""Which sentences and which table of groups go with the table of runs?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.groups import Score, score
from lightning_cv.compare.metrics import Metric
from lightning_cv.compare.settings import SEED, short_names
from lightning_cv.compare.twins import Twins

_NAMED = 6  # things named before "and n more"


@dataclass(frozen=True)
class GroupTable:
    """The scores of the groups in one metric.

    Args:
        metric: what is scored.
        rows: group, number of seeds, mean ± standard deviation, difference to the reference, what that means.
    """

    metric: str
    rows: tuple[tuple[str, str, str, str, str], ...]


HEADER = ("group", "seeds", "mean ± sd", "difference [95%]", "")


def group_tables(comparison: Comparison) -> list[GroupTable]:
    """For each drawn metric how the groups score; nothing where there is one group of one seed."""
    if len(comparison.groups) == 1 and comparison.groups[0].num_seeds == 1:
        return []
    return [GroupTable(_metric_text(metric), tuple(_group_rows(comparison, metric))) for metric in comparison.drawn]


def _group_rows(comparison: Comparison, metric: Metric) -> Iterator[tuple[str, str, str, str, str]]:
    against = {contrast.group: contrast for contrast in comparison.contrasts if contrast.metric == metric}
    for number, group in enumerate(comparison.groups):
        difference = verdict = ""
        if contrast := against.get(number):
            difference, verdict = f"{contrast.difference:+.3g}", contrast.verdict
            if contrast.interval is not None:
                difference += f" [{contrast.interval.low:+.3g}, {contrast.interval.high:+.3g}]"
        elif number == comparison.reference and len(comparison.groups) > 1:
            difference = "reference"
        text = _score_text(score(comparison.runs, group, metric))
        yield group.label, str(group.num_seeds), text, difference, verdict


def remarks(comparison: Comparison, *, all_keys: bool) -> list[str]:
    """What a reader must know beside the tables, each one line."""
    return [
        *_agreement(comparison),
        *_directions(comparison.metrics),
        *_chance(comparison),
        *_left_out(comparison, all_keys=all_keys),
        *(
            f"{label}: {note}"
            for label, run in zip(comparison.labels, comparison.runs, strict=True)
            for note in run.notes
        ),
        *(
            f"{label} {run.status}: {run.error}"
            for label, run in zip(comparison.labels, comparison.runs, strict=True)
            if run.error and run.status != "pruned"  # of a sweep's trials that is nothing to be told of each
        ),
    ]


def _agreement(comparison: Comparison) -> list[str]:
    """What differs in the settings, in one sentence, and whether runs that should be equal are."""
    lines = [_twin_text(comparison, twins) for twins in comparison.twins]
    known = [run.recipe is not None for run in comparison.runs]
    if sum(known) > 1 and not comparison.differing.keys and not comparison.twins:
        lines.insert(0, "the recipes do not differ")
    elif comparison.differing.keys == (SEED,):
        lines.insert(0, "the recipes differ in their seed only")
    return lines


def _twin_text(comparison: Comparison, twins: Twins) -> str:
    first, second = comparison.labels[twins.first], comparison.labels[twins.second]
    pair = f"{first} and {second}"
    if not twins.num_values and not twins.only_one:
        return f"{pair}: same recipe, same seed; they have no metric in common to compare"
    if twins.agree:
        last = [comparison.runs[index].steps for index in (twins.first, twins.second)]
        extent = f"up to step {twins.to_step}" + (
            ", where one of them ends" if last[0] != last[1] else ", the last one"
        )
        equal = f"equal metrics ({twins.num_values} values {extent})"
        return f"no difference: {pair} have the same recipe, the same seed and {equal}"
    parts = [f"{name} at step {step} is {one:.9g} and {two:.9g}" for name, step, one, two in twins.unequal[:2]]
    if len(twins.unequal) > 2:
        parts.append(f"{len(twins.unequal) - 2} more metrics differ")
    if twins.only_one:
        what = "value is" if twins.only_one == 1 else "values are"
        parts.append(f"{twins.only_one} {what} in one of them only")
    return f"{pair}: same recipe and same seed, but they differ: {'; '.join(parts)}"


def _directions(metrics: Sequence[Metric]) -> list[str]:
    says = {"recipe": "says the recipe", "--mode": "says --mode", "name": "by its name", "": ""}
    lines = []
    for mode, word in (("max", "↑ more is better"), ("min", "↓ less is better")):
        told = [f"{metric.name} ({says[metric.reason]})" for metric in metrics if metric.mode == mode]
        if told:
            lines.append(f"{word}: {', '.join(told)}")
    unknown = [metric.name for metric in metrics if metric.mode is None]
    if unknown:
        lines.append(
            f"no best value of {', '.join(unknown)}: neither recipe nor name tells whether more is better;"
            f" give --mode {unknown[0]}=max or =min"
        )
    return lines


def _chance(comparison: Comparison) -> list[str]:
    """How to read the intervals."""
    if len(comparison.groups) < 2:
        return []
    lines = []
    if any(contrast.interval is not None for contrast in comparison.contrasts):
        lines.append("differences are to the reference, with Welch's 95% interval over seeds; of 20 one misses by luck")
    if any(contrast.interval is None for contrast in comparison.contrasts):
        lines.append("no interval: a side has one seed only, so progress cannot be told from luck; run more seeds")
    return lines


def _left_out(comparison: Comparison, *, all_keys: bool) -> list[str]:
    lines = []
    if comparison.differing.ignored:
        lines.append(f"ignored as mere operations: {_list(comparison.differing.ignored)}")
    if comparison.differing.of_classes and not all_keys:
        number = len(comparison.differing.of_classes)
        lines.append(f"{number} settings that only one of the differing classes has are left out; --all shows them")
    return lines


def _list(keys: Sequence[str]) -> str:
    names = short_names(keys)
    shown = [names[key] for key in keys[:_NAMED]]
    return ", ".join(shown) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")


def _metric_text(metric: Metric) -> str:
    return f"{metric.name} {'best' if metric.mode else 'last'} {metric.arrow}".rstrip()


def _score_text(found: Score) -> str:
    if not found.values:
        return "—"
    return f"{found.mean:.5g}" + ("" if found.spread is None else f" ± {found.spread:.2g}")
