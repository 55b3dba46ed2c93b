"""Sweeps that tests write: as files beside their recipe, and as values without one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna

from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.space import Parameter, Space, Value
from lightning_cv.sweep.definition.samplers import make_sampler, suggest
from lightning_cv.sweep.definition.spec import Named, Objective, Sweep

optuna.logging.set_verbosity(optuna.logging.WARNING)

LR = "model.init_args.optimizer.init_args.lr"
OPTIMIZER = "model.init_args.optimizer"
SECTIONS = {
    "recipe": "recipe: digits_mlp",
    "objective": "objective: {metric: val/accuracy, mode: max}",
    "sampler": "sampler: {name: random, seed: 0}",
    "trials": "trials: 4",
    "fixed": "fixed:\n  trainer.max_epochs: 2",
    "space": f"space:\n  {LR}: {{log_uniform: [1.0e-4, 1.0e-1]}}",
}


def write_sweep(path: Path = Path("a.yaml"), **sections: str | None) -> Path:
    """A file with the sections above, some of them replaced, added or, where None, left out."""
    texts = {**SECTIONS, **sections}
    path.write_text("# A sweep of the tests.\n" + "\n".join(text for text in texts.values() if text) + "\n")
    return path


def make_sweep(*parameters: Parameter, sampler: str = "random", modes: Iterable[str] = ("min",), **more) -> Sweep:
    """A sweep over a recipe that says nothing."""
    options = more.pop("options", {})
    return Sweep(
        name="a",
        recipe="none",
        composed=Composed({}, {}),
        fixed={},
        space=Space(parameters),
        objectives=tuple(Objective(f"val/{index}", mode) for index, mode in enumerate(modes)),
        sampler=Named(sampler, options),
        **{"trials": 1000, **more},
    )


def make_study(sweep: Sweep, storage: object = None) -> optuna.Study:
    """A study in memory."""
    directions = ["maximize" if objective.mode == "max" else "minimize" for objective in sweep.objectives]
    return optuna.create_study(
        storage=storage or optuna.storages.InMemoryStorage(), study_name="a", directions=directions, load_if_exists=True
    )


def begin(study: optuna.Study, sweep: Sweep) -> tuple[optuna.Trial, Mapping[str, Value]]:
    """The next trial and its values, drawn as a worker draws them."""
    trial = study.ask()
    study.sampler = make_sampler(sweep, trial.number)
    return trial, suggest(trial, sweep)
