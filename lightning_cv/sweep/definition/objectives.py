"""By which numbers does a sweep judge its trials?"""

from __future__ import annotations

from typing import Any

from lightning_cv.compare.metrics import mode_by_name
from lightning_cv.recipe.files import Recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.suggest import hint
from lightning_cv.sweep.definition.spec import Mode, Objective, Pick

# What a run costs: known at its end, however its validations went.
COSTS: dict[str, Mode] = {"run/parameters": "min", "run/time_s": "min", "run/samples_per_s": "max"}


def read_objectives(said: Recipe) -> tuple[Objective, ...]:
    """The objectives of a sweep, the first one first.

    Raises:
        UserError: no metric of the form `stage/name`, or one whose mode nobody tells.
    """
    raw = said.values["objective"]
    several = isinstance(raw, list)
    entries = raw if several else [raw]
    found = [_objective(said, f"objective.{i}" if several else "objective", entry) for i, entry in enumerate(entries)]
    for index, objective in enumerate(found):
        if objective.metric in [other.metric for other in found[:index]]:
            raise mistake(said, f"objective.{index}", f"{objective.metric} is an objective already")
    if not found:
        raise mistake(said, "objective", "an empty list, at least one objective is needed")
    return tuple(found)


def read_pick(said: Recipe) -> Pick:
    """Which validation of a trial counts.

    Raises:
        UserError: neither best nor last.
    """
    pick: Pick = said.values.get("pick", "best")
    if pick not in ("best", "last"):
        raise mistake(said, "pick", f"{shown(pick)} given, allowed: best, last")
    return pick


def _objective(said: Recipe, at: str, raw: Any) -> Objective:
    if not isinstance(raw, dict) or not isinstance(metric := raw.get("metric"), str):
        raise mistake(said, at, f"{shown(raw)} given, needed: {{metric: val/accuracy, mode: max}}")
    for key in raw:
        if key not in ("metric", "mode"):
            raise mistake(said, f"{at}.{key}", f"is no key of an objective{hint(str(key), ('metric', 'mode'))}")
    stage, slash, rest = metric.partition("/")
    if not slash or not stage or not rest:
        raise mistake(said, f"{at}.metric", f"{metric} given, needed: stage/name as it is logged, e.g. val/{metric}")
    if stage == "run" and metric not in COSTS:
        raise mistake(said, f"{at}.metric", f"{metric} given{hint(metric, COSTS)}")
    if stage == "test":
        raise mistake(said, f"{at}.metric", f"{metric} given; what is chosen by the test split is not tested any more")
    mode = raw.get("mode", COSTS.get(metric) or mode_by_name(metric))
    if mode not in ("min", "max"):
        why = f"{shown(mode)} given, allowed" if "mode" in raw else f"{metric} does not tell, say"
        raise mistake(said, f"{at}.mode", f"{why}: min, max")
    return Objective(metric, mode)
