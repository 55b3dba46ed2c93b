"""What is the recipe of the best trial, as a file that stands for itself?"""

from __future__ import annotations

import textwrap

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import TOP_LEVEL
from lightning_cv.recipe.files import display_path
from lightning_cv.sweep.definition.file import trial_recipe
from lightning_cv.sweep.definition.yaml_text import as_yaml
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.remarks import plural, scores_text, values_text

_LETTERS = 100  # of a line of the header
_LISTED = 20  # trials of a front in an error


def winner(results: StudyResults, number: int | None = None) -> str:
    """The text of a complete recipe: the sweep's with the values of its best trial, or of trial `number`.

    Raises:
        UserError: there is no such trial, or it was never given values; no trial is complete; several objectives and
            no number: names the trials of the Pareto front.
    """
    trial = _best(results) if number is None else _numbered(results, number)
    values = trial_recipe(results.sweep, trial.values).values
    known = [key for key in TOP_LEVEL if key in values]
    ordered = {key: values[key] for key in [*known, *(key for key in values if key not in known)]}
    return as_yaml(ordered, _header(results, trial))


def _best(results: StudyResults) -> TrialResult:
    sweep = results.sweep
    if not results.complete:
        raise UserError(f"best: {sweep.name} has no complete trial")
    if len(sweep.objectives) == 1:
        return results.ranked()[0]
    front = results.front()
    listed = "; ".join(f"{trial.number}: {scores_text(trial, sweep.objectives)}" for trial in front[:_LISTED])
    more = f"; and {len(front) - _LISTED} more" if len(front) > _LISTED else ""
    raise UserError(
        f"best: {sweep.name} has {len(sweep.objectives)} objectives; name a trial of its front: {listed}{more}"
    )


def _numbered(results: StudyResults, number: int) -> TrialResult:
    trial = next((trial for trial in results.trials if trial.number == number), None)
    if trial is None:
        numbers = [trial.number for trial in results.trials]
        allowed = f"{min(numbers)} to {max(numbers)}" if numbers else "none, it has no trials"
        raise UserError(f"best: {results.sweep.name} has no trial {number}; allowed: {allowed}")
    if not trial.values:
        raise UserError(f"best: trial {number} of {results.sweep.name} has not begun, so it has no values")
    return trial


def _header(results: StudyResults, trial: TrialResult) -> list[str]:
    sweep, complete = results.sweep, len(results.complete)
    best = len(sweep.objectives) == 1 and results.ranked()[:1] == (trial,)
    what = f"The best of {plural(complete, 'complete trial')}" if best else f"Trial {trial.number}"
    if trial.state == "complete" and trial.scores:
        expect = [f"{scores_text(trial, sweep.objectives)}: the {sweep.pick} validation, one seed, in the search"]
    else:
        expect = [f"not known: the trial is {trial.state}"]
    if best and complete > 1:
        expect.append(f"the best of {complete} noisy trials flatters; what it is worth over fresh seeds says")
        expect.append(f"lightning-cv sweep confirm {sweep.name}")
    place = display_path(sweep.path) if sweep.path.name else sweep.name
    return [
        f"{what} of the sweep {sweep.name}.",
        "",
        "Run:       lightning-cv fit --config <this file>",
        f"Expect:    {expect[0]}",
        *(f"           {line}" for line in expect[1:]),
        f"Source:    trial {trial.number} of {place}, recipe {sweep.recipe}",
        *(f"           {line}" for line in textwrap.wrap(values_text(trial, sweep.space.paths), _LETTERS)),
    ]
