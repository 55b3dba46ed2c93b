"""Which samplers and pruners may a sweep name, and which options does Optuna's class behind each take?"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import Recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.paths import get_at, join_path
from lightning_cv.recipe.suggest import hint
from lightning_cv.sweep.definition.controller import controller_sampler
from lightning_cv.sweep.definition.spec import Named

# Drawn by functions of the trial's number; the others by Optuna's class of this name, or by our own one.
PLANNED = ("random", "grid", "qmc")
SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "policy_gradient": "PolicyGradientSampler"}
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "asha": "SuccessiveHalvingPruner",
    "wilcoxon": "WilcoxonPruner",
    "patient": "PatientPruner",
    "threshold": "ThresholdPruner",
}

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
}
_OURS = {"seed", "warn_independent_sampling"}  # set here, not by a sweep
_MAX_SEED = 2**32 - 1


def read_sampler(said: Recipe) -> tuple[Named, int]:
    """The sampler and the seed that a sweep names; random and 0 if it names none.

    Raises:
        UserError: an unknown name or option, or a value that Optuna refuses.
    """
    name, options = _name_and_options(said, "sampler", (*PLANNED, *SAMPLERS), default="random")
    seed = options.pop("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _MAX_SEED:
        raise mistake(said, "sampler.seed", f"{shown(seed)} given, allowed: whole numbers from 0 to {_MAX_SEED}")
    if name == "grid" and seed:
        warnings.warn(str(mistake(said, "sampler.seed", "a grid draws nothing: ignored")), stacklevel=2)
    if name in PLANNED:
        for option in options:
            raise mistake(said, f"sampler.{option}", f"{name} takes no such option{hint(option, ['name', 'seed'])}")
    else:
        _check_options(said, "sampler", optuna_class(SAMPLERS[name]), options)
        _try(said, "sampler", SAMPLERS[name], options)
    return Named(name, options), seed


def read_pruner(said: Recipe, at: str = "pruner") -> Named | None:
    """The pruner that a sweep names; None for none.

    Raises:
        UserError: an unknown name or option, or a value that Optuna refuses.
    """
    name, options = _name_and_options(said, at, (*PRUNERS, "none"), default="none")
    if name == "none":
        for option in options:
            raise mistake(said, join_path(at, option), "none takes no options")
        return None
    wrapped = None
    if name == "patient" and "pruner" in options:
        wrapped = read_pruner(said, join_path(at, "pruner"))
        del options["pruner"]
    extra = {"wrapped_pruner": None} if name == "patient" else {}
    _check_options(said, at, optuna_class(PRUNERS[name]), options)
    _try(said, at, PRUNERS[name], {**extra, **options})
    return Named(name, {**options, "pruner": wrapped} if wrapped else options)


def plain_named(named: Named) -> dict[str, Any]:
    """As a sweep says it."""
    options = {key: plain_named(value) if isinstance(value, Named) else value for key, value in named.options.items()}
    return {"name": named.name, **options}


def optuna_class(name: str) -> Any:
    """Optuna's sampler or pruner of this name, or our own one."""
    import optuna

    if name == SAMPLERS["policy_gradient"]:
        return controller_sampler()
    return getattr(optuna.samplers if name.endswith("Sampler") else optuna.pruners, name)


def build(name: str, options: Mapping[str, Any]) -> Any:
    """Make Optuna's sampler or pruner of this name, without its remark that it is experimental."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna_class(name)(**options)


def _name_and_options(said: Recipe, at: str, known: tuple[str, ...], default: str) -> tuple[str, dict[str, Any]]:
    try:
        raw = get_at(said.values, at)
    except UserError:
        raw = None
    if raw is None:
        return default, {}
    if isinstance(raw, str):
        raw = {"name": raw}
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise mistake(said, at, f"{shown(raw)} given, needed: a mapping such as {{name: {known[0]}}}")
    options = {str(key): value for key, value in raw.items()}
    name = options.pop("name")
    if name not in known:
        where = join_path(at, "name") if join_path(at, "name") in said.lines else at
        raise mistake(said, where, f"{shown(name)} given{hint(name, known)}")
    return name, options


def _check_options(said: Recipe, at: str, owner: Any, options: Mapping[str, Any]) -> None:
    """Compare names and types with the signature, as far as its types are plain ones."""
    signature = inspect.signature(owner.__init__).parameters
    offered = {name: _kinds(parameter) for name, parameter in signature.items() if name not in _OURS}
    offered = {name: kinds for name, kinds in offered.items() if kinds}
    for name, value in options.items():
        if name not in offered:
            raise mistake(said, join_path(at, name), f"{owner.__name__} takes no such option{hint(name, offered)}")
        types = tuple(kind for text in offered[name] for kind in _TYPES[text])
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            allowed = " or ".join("null" if text == "None" else text for text in offered[name])
            raise mistake(said, join_path(at, name), f"{shown(value)} given, allowed: {allowed}")
    for name, parameter in signature.items():
        if name in offered and parameter.default is parameter.empty and name not in options:
            raise mistake(said, at, f"{owner.__name__} needs {name}")


def _kinds(parameter: inspect.Parameter) -> tuple[str, ...]:
    """The plain types in an annotation; empty where it has others too, such as functions."""
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    kinds = tuple(text.split(" | "))
    return kinds if all(kind in _TYPES for kind in kinds) else ()


def _try(said: Recipe, at: str, name: str, options: Mapping[str, Any]) -> None:
    """Refuse here, with the line, what Optuna would refuse or call outdated when the first trial begins."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            optuna_class(name)(**options)
        except (ValueError, TypeError, Warning) as error:
            raise mistake(said, at, f"Optuna refuses this: {' '.join(str(error).split())}") from error
