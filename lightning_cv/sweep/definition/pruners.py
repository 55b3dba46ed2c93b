"""Which trials are stopped before their end?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning_cv.recipe.compose import Composed
from lightning_cv.sweep.definition.options import PRUNERS, build
from lightning_cv.sweep.definition.spec import Named, Sweep

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def make_pruner(sweep: Sweep) -> BasePruner:
    """Optuna's pruner of the sweep; one that never prunes where there is none.

    The steps that are reported to it are the numbers of the validations, from 1; Optuna's `n_warmup_steps` is the first
    one that may prune. Unless the sweep says so, the resources of Hyperband and successive halving (ASHA) begin at 1
    validation, and those of Hyperband end at the number of validations of the recipe; where that depends on the data,
    at the most that was reported.

    Source: successive halving: Li et al. 2018, "Massively parallel hyperparameter tuning"; Hyperband: Li et al. 2018,
    JMLR 18 (185).
    """
    if sweep.pruner is None:
        from optuna.pruners import NopPruner

        return NopPruner()
    return _build(sweep.pruner, sweep)


def pruner_options(named: Named, sweep: Sweep) -> Mapping[str, Any]:
    """The options of a pruner with the defaults that are not Optuna's."""
    defaults: dict[str, Any] = {}
    if named.name in ("hyperband", "asha"):
        defaults["min_resource"] = 1
    if named.name == "hyperband":
        searched = any(path.startswith("trainer.") for path in sweep.space.paths)
        defaults["max_resource"] = (None if searched else num_validations(sweep.composed)) or "auto"
    return {**defaults, **named.options}


def num_validations(recipe: Composed) -> int | None:
    """How often a training of the recipe validates; None if it depends on the data, or is less than once."""
    trainer = recipe.values.get("trainer") or {}
    epochs, every = trainer.get("max_epochs"), trainer.get("check_val_every_n_epoch", 1)
    interval = trainer.get("val_check_interval") or 1.0
    limited = any(trainer.get(key) not in (None, -1) for key in ("max_steps", "max_time"))
    whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in (epochs, every))
    if limited or not whole or not isinstance(interval, float) or not 0 < interval <= 1:
        return None
    return (epochs // every) * int(1 / interval) or None


def _build(named: Named, sweep: Sweep) -> BasePruner:
    options = dict(pruner_options(named, sweep))
    if named.name == "patient":
        wrapped = options.pop("pruner", None)
        options["wrapped_pruner"] = _build(wrapped, sweep) if wrapped else None
    pruner: BasePruner = build(PRUNERS[named.name], options)
    return pruner
