"""What has a study found, as a table for people and as text for programs?"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from lightning_cv.compare.run import duration
from lightning_cv.compare.settings import ABSENT, short_names
from lightning_cv.recipe.space_file import plain_space
from lightning_cv.sweep.definition.spec import Objective
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.importance import importances
from lightning_cv.sweep.report.remarks import facts, plural, score_text, title, value_text, warnings
from lightning_cv.sweep.report.table import Row, print_rows

Order = Literal["number", "best"]

_STYLES = {"failed": "red", "pruned": "dim", "waiting": "dim", "running": "cyan", "complete": ""}


def print_results(
    console: Console, results: StudyResults, *, limit: int | None = None, order: Order = "number"
) -> None:
    """Print the table of trials, what came out of them, and what is not to be trusted.

    The best trials are green and bear a star: one, or with several objectives those of the Pareto front.

    Args:
        console: where; as wide as it is.
        results: of the study.
        limit: how many trials the table shows at most: the best ones; None: all.
        order: by number, or the best first and those without a score last.
    """
    shown = _chosen(results, limit=limit, order=order)
    if shown:
        paths = _shown_paths(results)
        names = short_names(results.sweep.space.paths)
        titles = [
            *("trial", "state"),
            *(names[path] for path in paths),
            *(title(objective) for objective in results.sweep.objectives),
            *("validations", "time"),
        ]
        best = {trial.number for trial in _best(results)}
        print_rows(console, titles, [_row(trial, results, paths, best=trial.number in best) for trial in shown])
        if hidden := len(results.trials) - len(shown):
            console.print(Text(f"not shown: {plural(hidden, 'more trial')}", style="dim"))
        console.print()
    for line in facts(results):
        console.print(Text(line))
    for line in warnings(results):
        console.print(Text(line, style="yellow"))


def to_csv(results: StudyResults) -> str:
    """A line a trial: number, state, each path, each metric, validations reported, time_s, reason, folder.

    Empty: there is none. Of a choice the key of the option; `true`, `false` and `null` as in a recipe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    paths, objectives = results.sweep.space.paths, results.sweep.objectives
    metrics = [objective.metric for objective in objectives]
    writer.writerow(["number", "state", *paths, *metrics, "validations", "time_s", "reason", "folder"])
    for trial in results.trials:
        values = [_field(trial.values[path]) if path in trial.values else "" for path in paths]
        scores = ["" if score is None else score for score in _scores(trial, objectives)]
        time_s = "" if trial.time_s is None else trial.time_s
        end = [len(trial.reported), time_s, trial.reason, trial.folder or ""]
        writer.writerow([trial.number, trial.state, *values, *scores, *end])
    return text.getvalue()


def to_json(results: StudyResults) -> str:
    """Everything, as strict JSON: numbers that are not finite are "NaN", "Infinity", "-Infinity"."""
    sweep = results.sweep
    record = {
        "study": sweep.name,
        "recipe": sweep.recipe,
        "objectives": [{"metric": objective.metric, "mode": objective.mode} for objective in sweep.objectives],
        "pick": sweep.pick,
        "sampler": {"name": sweep.sampler.name, "seed": sweep.seed, **sweep.sampler.options},
        "pruner": {"name": sweep.pruner.name, **sweep.pruner.options} if sweep.pruner else None,
        "fixed": sweep.fixed,
        "space": plain_space(sweep.space),
        "states": Counter(trial.state for trial in results.trials),
        "best": [trial.number for trial in _best(results)],
        "importances": importances(results),
        "warnings": warnings(results),
        "trials": [_trial(trial, sweep.objectives) for trial in results.trials],
    }
    return json.dumps(_strict(record), indent=2, allow_nan=False, default=str) + "\n"


def _best(results: StudyResults) -> Sequence[TrialResult]:
    return results.front() if len(results.sweep.objectives) > 1 else results.ranked()[:1]


def _chosen(results: StudyResults, *, limit: int | None, order: Order) -> list[TrialResult]:
    ranked = [trial.number for trial in results.ranked()]
    places = {number: place for place, number in enumerate(ranked)}
    by_score = sorted(results.trials, key=lambda trial: (places.get(trial.number, len(places)), trial.number))
    chosen = by_score[:limit]
    return chosen if order == "best" else sorted(chosen, key=lambda trial: trial.number)


def _shown_paths(results: StudyResults) -> list[str]:
    """The parameters that some trial has."""
    return [path for path in results.sweep.space.paths if any(path in trial.values for trial in results.trials)]


def _row(trial: TrialResult, results: StudyResults, paths: Sequence[str], *, best: bool) -> Row:
    values = [value_text(trial.values[path]) if path in trial.values else ABSENT for path in paths]
    scores = [ABSENT if score is None else score_text(score) for score in _scores(trial, results.sweep.objectives)]
    time = ABSENT if trial.time_s is None else duration(trial.time_s)
    return Row(
        cells=(
            f"{trial.number} ★" if best else str(trial.number),
            *(trial.state, *values, *scores),
            *(str(len(trial.reported) or ABSENT), time),
        ),
        style="green" if best else _STYLES[trial.state],
        below=trial.reason if trial.state == "failed" else "",
    )


def _scores(trial: TrialResult, objectives: Sequence[Objective]) -> list[float | None]:
    """One for each objective; a pruned trial may have the first ones only."""
    scores = list(trial.scores or ())
    return [*scores, *[None] * (len(objectives) - len(scores))]


def _trial(trial: TrialResult, objectives: Sequence[Objective]) -> dict[str, Any]:
    pairs = zip(objectives, _scores(trial, objectives), strict=True)
    return {
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "scores": {objective.metric: score for objective, score in pairs},
        "reported": trial.reported,
        "reason": trial.reason,
        "time_s": trial.time_s,
        "folder": trial.folder,
    }


def _field(value: Any) -> Any:
    return json.dumps(value) if value is None or isinstance(value, bool) else value


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value
