"""Which sweep comes next: the region around the best trials, searched again and longer?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.paths import get_at
from lightning_cv.recipe.space import Choice, Condition, Parameter, Range, Space, Value, same
from lightning_cv.sweep.definition.file import plain_sweep
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.remarks import plural

EPOCHS = "trainer.max_epochs"
SCHEDULE = "model.init_args.schedule"
WARMUP = f"{SCHEDULE}.init_args.warmup_steps"
CONSTANT = "lightning_cv.optim.Constant"

MIN_TRIALS = 3
_GOOD = 4  # one in so many of the complete trials is good
_NARROWEST, _WIDEST = 0.25, 0.5  # of the old range
_DIGITS = 3
_ROUNDED = 50  # a bound is moved by rounding by at most one part in so many of the new range


def refine(
    results: StudyResults, *, trials: int | None = None, epochs: int | None = None, constant_rate: bool = False
) -> dict[str, Any]:
    """What the file of the next, narrower sweep says (row 128).

    Looked at are the best quarter of the complete trials, and three at least. A range shrinks to what they span, in
    its own scale, but to no less than a quarter and no more than half of the old one; the best trial stays inside,
    and the old bounds are kept. Bounds are rounded outwards to 3 digits, or more where 3 would be coarse; of whole
    numbers to the nearest. A choice keeps the options that occur among them. What has a single value left is fixed,
    unless it is searched under a condition; conditions that always hold go, and parameters whose condition cannot
    hold. The sampler gets the next seed, so that it draws other values.

    Args:
        results: of the study.
        trials: how many; None: as many as before, of a grid all points.
        epochs: how long each trains; None: as long as before.
        constant_rate: the learning rate keeps its value after the warm-up: the rate is judged, not the schedule.

    Raises:
        UserError: fewer than 3 complete trials, several objectives, listed trials, or nothing left to search.
    """
    sweep = results.sweep
    _check(results)
    fixed: dict[str, Any] = {} if epochs is None else {EPOCHS: epochs}
    fixed |= _constant(sweep) if constant_rate else {}
    kept = {path: value for path, value in sweep.fixed.items() if not _inside(path, fixed)}
    good = results.ranked()[: max(MIN_TRIALS, math.ceil(len(results.complete) / _GOOD))]
    parameters, single = _narrowed(_without(sweep.space, fixed), good)
    space = Space(tuple(parameters))
    if not parameters:
        raise UserError(f"refine: {sweep.name}: nothing is left to search; the best recipe: lightning-cv sweep best")
    number = _number_of_trials(sweep, space, trials)
    fixed = {**kept, **fixed, **single}
    refined = dataclasses.replace(sweep, space=space, fixed=fixed, seed=sweep.seed + 1, trials=number)
    plain = plain_sweep(refined, recipe=sweep.recipe)
    del plain["name"]  # the new file's, not the old study's
    return plain


def _check(results: StudyResults) -> None:
    sweep, number = results.sweep, len(results.complete)
    if len(sweep.objectives) > 1:
        raise UserError(
            f"refine: {sweep.name} has {len(sweep.objectives)} objectives; a region is the best by one only"
        )
    if sweep.listed:
        raise UserError(f"refine: the trials of {sweep.name} were listed; give the study of a search")
    if number < MIN_TRIALS:
        raise UserError(f"refine: {sweep.name} has {plural(number, 'complete trial')}; needed: {MIN_TRIALS} or more")


def _constant(sweep: Sweep) -> dict[str, Any]:
    """The constant schedule with the recipe's warm-up, by its path; nothing where the recipe has none to turn off."""
    try:
        schedule = get_at(sweep.composed.values, SCHEDULE)
    except UserError:
        return {}
    if schedule is None:
        return {}
    arguments = schedule.get("init_args") if isinstance(schedule, dict) else None
    warmup = (arguments or {}).get("warmup_steps", 0)
    return {SCHEDULE: {"class_path": CONSTANT, "init_args": {"warmup_steps": warmup}}}


def _inside(path: str, fixed: dict[str, Any]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in fixed)


def _without(space: Space, fixed: dict[str, Any]) -> Space:
    """The space without what is fixed now; a constant rate still has its warm-up."""
    for parameter in space.parameters:
        for path in fixed:
            if path.startswith(f"{parameter.path}."):
                raise UserError(f"refine: {path} lies inside {parameter.path}, which is searched")
    return Space(tuple(p for p in space.parameters if p.path == WARMUP or not _inside(p.path, fixed)))


def _narrowed(space: Space, good: Sequence[TrialResult]) -> tuple[list[Parameter], dict[str, Any]]:
    """The parameters that are still searched, and the values of those with one value left."""
    kept: list[Parameter] = []
    single: dict[str, Any] = {}
    keys: dict[str, tuple[Value, ...]] = {}  # of each choice the options left
    for parameter in space.parameters:
        when = _conditions(parameter, kept, keys)
        if when is None:
            continue
        values = [trial.values[parameter.path] for trial in good if parameter.path in trial.values]
        new = _narrowed_one(parameter, values) if values else parameter
        if isinstance(new, Choice):
            keys[new.path] = new.keys
        if isinstance(new, Choice) and len(new.options) == 1 and not when:
            single[new.path] = new.options[0][1]
        else:
            kept.append(dataclasses.replace(new, when=when))
    return kept, single


def _conditions(
    parameter: Parameter, kept: Sequence[Parameter], keys: dict[str, tuple[Value, ...]]
) -> tuple[Condition, ...] | None:
    """The conditions that still say something; None where one can no longer hold."""
    searched = {other.path: other for other in kept}
    found = []
    for condition in parameter.when:
        left = keys.get(condition.path, ())
        live = tuple(key for key in condition.keys if any(same(key, other) for other in left))
        if not live:
            return None
        parent = searched.get(condition.path)
        always = len(live) == len(left) and (parent is None or not parent.when)
        # What lies inside an option is searched where that option is: a sweep must say so.
        if parent is not None and (not always or parameter.path.startswith(f"{parent.path}.")):
            found.append(Condition(path=condition.path, keys=live))
    return tuple(found)


def _narrowed_one(parameter: Parameter, values: Sequence[Value]) -> Parameter:
    """The parameter around the values of the good trials, the best one's first."""
    if isinstance(parameter, Choice):
        options = tuple(pair for pair in parameter.options if any(same(pair[0], value) for value in values))
        return dataclasses.replace(parameter, options=options)
    numbers = [value for value in values if isinstance(value, int | float)]
    low, high = _interval([min(max(parameter.unit(number), 0.0), 1.0) for number in numbers])
    ends: tuple[float, float]
    if parameter.integer:
        ends = math.ceil(_value(parameter, low) - 0.5), math.floor(_value(parameter, high) + 0.5)
    else:
        ends = _rounded(parameter, low, width=high - low), _rounded(parameter, high, width=high - low, up=True)
    ends = max(min(ends[0], numbers[0]), parameter.low), min(max(ends[1], numbers[0]), parameter.high)
    new = dataclasses.replace(parameter, low=ends[0], high=ends[1])
    if new.low == new.high:
        return Choice(path=new.path, options=((int(new.low), int(new.low)),))
    points = parameter.points
    while points is not None and len(set(new.spaced(points))) < points:
        points -= 1
    return dataclasses.replace(new, points=points)


def _interval(units: Sequence[float]) -> tuple[float, float]:
    """What the places span, made a quarter to half of [0, 1] wide, with the first one inside."""
    low, high = min(units), max(units)
    if high - low > _WIDEST:
        low = min(max(units[0] - _WIDEST / 2, low), high - _WIDEST)
        return low, low + _WIDEST
    if high - low < _NARROWEST:
        low = min(max((low + high - _NARROWEST) / 2, 0.0), 1 - _NARROWEST)
        return low, low + _NARROWEST
    return low, high


def _value(parameter: Range, unit: float) -> float:
    """The inverse of `Range.unit`."""
    if parameter.log:
        return math.exp((1 - unit) * math.log(parameter.low) + unit * math.log(parameter.high))
    return (1 - unit) * parameter.low + unit * parameter.high


def _rounded(parameter: Range, unit: float, *, width: float, up: bool = False) -> float:
    """The value at `unit`, rounded away from the range of this `width` around it."""
    value = Decimal(f"{_value(parameter, unit):.12g}")  # so that 0.4 is not the float just above it
    if value == 0:
        return 0.0
    slope = (
        float(abs(value)) * math.log(parameter.high / parameter.low)
        if parameter.log
        else parameter.high - parameter.low
    )
    power = min(value.adjusted() + 1 - _DIGITS, math.floor(math.log10(slope * width / _ROUNDED)))
    step = Decimal(1).scaleb(power)
    return float((value / step).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR) * step)


def _number_of_trials(sweep: Sweep, space: Space, given: int | None) -> int | None:
    """As asked, or as before; of a grid no more than it has points."""
    wanted = given or sweep.trials
    if sweep.sampler.name != "grid" or wanted is None:
        return wanted
    return None if wanted >= sum(1 for _ in space.grid()) else wanted
