"""How does W&B's own sweep service say the same search?"""

from __future__ import annotations

import json
import warnings
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path, read_value
from lightning_cv.recipe.shipped import shipped
from lightning_cv.recipe.space import Choice, Parameter
from lightning_cv.sweep.definition.file import base_recipe
from lightning_cv.sweep.definition.objectives import COSTS
from lightning_cv.sweep.definition.pruners import pruner_options
from lightning_cv.sweep.definition.spec import Named, Sweep

_METHODS = {"random": "random", "grid": "grid", "tpe": "bayes", "gp": "bayes", "cmaes": "bayes"}
_DISTRIBUTIONS = {
    "uniform": "uniform",
    "log_uniform": "log_uniform_values",
    "int": "int_uniform",
    "log_int": "q_log_uniform_values",
}
_HYPERBAND = ("hyperband", "asha")


def wandb_sweep(sweep: Sweep) -> dict[str, Any]:
    """The configuration of a W&B sweep, for `wandb sweep FILE` and `wandb agent`.

    An agent hands each parameter to `lightning-cv fit` as `--path=value`. Hyperband and ASHA become W&B's Hyperband;
    other pruners are left out with a warning. W&B rounds a logarithmic range of whole numbers to the nearest one,
    which gives the two bounds half the weight that they have here.

    Source: the schema that W&B publishes in its repository `sweeps`, `src/sweeps/config/schema.json`.

    Raises:
        UserError: something that W&B cannot say.
    """
    _check(sweep)
    grid = sweep.sampler.name == "grid"
    config: dict[str, Any] = {
        "name": sweep.name,
        "method": _METHODS[sweep.sampler.name],
        "metric": {
            "name": sweep.objectives[0].metric,
            "goal": "maximize" if sweep.objectives[0].mode == "max" else "minimize",
        },
        "run_cap": sweep.num_trials,
        "command": ["${env}", "lightning-cv", "fit", _recipe(sweep), "${args}"],
        "parameters": {
            **{path: {"value": _argument(value)} for path, value in sweep.fixed.items()},
            **{parameter.path: _parameter(parameter, grid=grid) for parameter in sweep.space.parameters},
        },
    }
    if sweep.pruner is not None:
        config |= _early_terminate(sweep, sweep.pruner)
    return config


def _check(sweep: Sweep) -> None:
    where = f"{display_path(sweep.path)}: W&B cannot run this sweep"
    if len(sweep.objectives) > 1:
        raise UserError(f"{where}: it has several objectives, W&B's methods take one")
    if sweep.objectives[0].metric in COSTS:
        raise UserError(f"{where}: {sweep.objectives[0].metric} is not logged to W&B, it is known at the end of a run")
    for parameter in sweep.space.parameters:
        if parameter.when:
            raise UserError(f"{where}: {parameter.path} depends on another parameter, which W&B has no word for")
    if sweep.listed:
        raise UserError(f"{where}: its trials are listed, W&B draws them itself")
    if sweep.sampler.name not in _METHODS:
        raise UserError(f"{where}: it has no sampler {sweep.sampler.name}; take random, grid, tpe, gp or cmaes")
    if sweep.sampler.name == "grid" and sweep.num_trials < sum(1 for _ in sweep.space.grid()):
        raise UserError(f"{where}: it takes the first {sweep.num_trials} points of a grid, W&B has another order")


def _parameter(parameter: Parameter, *, grid: bool) -> dict[str, Any]:
    if isinstance(parameter, Choice):
        return {"values": [_argument(option) for _, option in parameter.options]}
    if grid:
        return {"values": list(parameter.on_grid)}
    bounds = {"min": parameter.low, "max": parameter.high}
    # A whole q makes W&B give whole numbers.
    step = {"q": 1} if parameter.kind == "log_int" else {}
    return {"distribution": _DISTRIBUTIONS[parameter.kind], **bounds, **step}


def _argument(value: Any) -> Any:
    """What W&B is to be told so that the agent's `--path=value`, in which it writes `str(value)`, is read as meant."""
    text = str(value)
    try:
        return value if read_value(text, "value") == value else json.dumps(value)
    except UserError:
        return json.dumps(value)


def _recipe(sweep: Sweep) -> str:
    """The recipe as a command finds it that runs in the present folder: a shipped one by its name, else its file."""
    file = base_recipe(sweep.recipe, sweep.path.parent)
    names = {recipe.path: f"{recipe.task}/{recipe.name}" for recipe in shipped()}
    return names.get(file, display_path(file))


def _early_terminate(sweep: Sweep, pruner: Named) -> dict[str, Any]:
    if pruner.name not in _HYPERBAND:
        message = f"{display_path(sweep.path)}: W&B has no pruner {pruner.name}; its runs all train to their end"
        warnings.warn(message, stacklevel=3)
        return {}
    options = pruner_options(pruner, sweep)
    least = options["min_resource"]
    factor = options.get("reduction_factor", 3 if pruner.name == "hyperband" else 4)
    return {"early_terminate": {"type": "hyperband", "min_iter": least if isinstance(least, int) else 1, "eta": factor}}
