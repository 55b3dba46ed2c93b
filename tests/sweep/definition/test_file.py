"""A sweep file becomes a sweep, or one line that says what is wrong where."""

import copy
import dataclasses
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import find
from lightning_cv.recipe.space import Range, Space
from lightning_cv.sweep.definition.file import base_recipe, plain_sweep, read_sweep, trial_recipe
from lightning_cv.sweep.definition.spec import Named, Objective
from tests.sweep.written import LR, OPTIMIZER, write_sweep

TWO = (
    f"space:\n  {LR}: {{log_uniform: [1.0e-4, 1.0e-1]}}\n  {OPTIMIZER}.init_args.weight_decay: {{uniform: [0.1, 0.2]}}"
)
NAMED = f"""space:
  {OPTIMIZER}:
    choice:
      sgd: {{class_path: torch.optim.SGD, init_args: {{lr: 0.1, momentum: 0.9}}}}
      adamw: {{class_path: torch.optim.AdamW, init_args: {{lr: 0.001}}}}
  {LR}: {{log_uniform: [1.0e-4, 1.0e-1], when: {{{OPTIMIZER}: [sgd, adamw]}}}}
  {OPTIMIZER}.init_args.momentum: {{uniform: [0.8, 0.99], when: {{{OPTIMIZER}: sgd}}}}
"""


def read(path: Path, **options):
    """The sweep of a file; one that warns fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_sweep(path, **options)


def space(entry: str, path: str = LR) -> dict[str, str]:
    return {"space": f"space:\n  {path}: {entry} # here"}


def grid(entry: str, **more: str) -> dict[str, str]:
    return {"sampler": "sampler: grid", "trials": None, **space(entry), **more}


# What is replaced in the sweep of `written.py`; key that the error names; a part of what it says. The line is the one
# that ends in `# here`, or the first where there is none.
MISTAKES = {
    "unknown key": ({"sampler": "sampeler: random # here"}, "sampeler", "did you mean sampler?"),
    "a recipe": ({"x": "model: {} # here"}, "model", "lightning-cv fit runs it"),
    "no recipe": ({"recipe": None}, "recipe", "is missing"),
    "recipe no text": ({"recipe": "recipe: [a] # here"}, "recipe", "needed: the name or file"),
    "recipe unknown": ({"recipe": "recipe: digits_mpl # here"}, "recipe", "did you mean digits_mlp?"),
    "no objective": ({"objective": None}, "objective", "is missing"),
    "objective text": ({"objective": "objective: val/loss # here"}, "objective", "{metric: val/accuracy, mode: max}"),
    "objective empty": ({"objective": "objective: [] # here"}, "objective", "at least one"),
    "objective key": ({"objective": "objective: {metric: val/loss, mod: min} # here"}, "objective.mod", "mean mode?"),
    "no slash": ({"objective": "objective: {metric: accuracy} # here"}, "objective.metric", "e.g. val/accuracy"),
    "test split": (
        {"objective": "objective: {metric: test/accuracy} # here"},
        "objective.metric",
        "not tested any more",
    ),
    "unknown cost": ({"objective": "objective: {metric: run/times} # here"}, "objective.metric", "mean run/time_s?"),
    "mode": ({"objective": "objective: {metric: val/loss, mode: low} # here"}, "objective.mode", "allowed: min, max"),
    "mode unknown": ({"objective": "objective: {metric: val/x} # here"}, "objective.mode", "val/x does not tell"),
    "twice": ({"objective": "objective:\n- {metric: val/loss}\n- {metric: val/loss} # here"}, "objective.1", "already"),
    "pick": ({"x": "pick: first # here"}, "pick", "allowed: best, last"),
    "sampler": ({"sampler": "sampler: {name: radom} # here"}, "sampler.name", "did you mean random?"),
    "sampler list": ({"sampler": "sampler: [tpe] # here"}, "sampler", "needed: a mapping"),
    "seed": ({"sampler": "sampler: {name: random, seed: -1} # here"}, "sampler.seed", "-1 given"),
    "seed true": ({"sampler": "sampler: {name: random, seed: true} # here"}, "sampler.seed", "true given"),
    "random option": ({"sampler": "sampler: {name: random, sed: 1} # here"}, "sampler.sed", "did you mean seed?"),
    "tpe option": ({"sampler": "sampler: {name: tpe, n_startup: 1} # here"}, "sampler.n_startup", "n_startup_trials?"),
    "tpe type": ({"sampler": "sampler: {name: tpe, n_startup_trials: x} # here"}, "sampler.n_startup_trials", "int"),
    "tpe function": ({"sampler": "sampler: {name: tpe, gamma: 1} # here"}, "sampler.gamma", "no such option"),
    "tpe outdated": ({"sampler": "sampler: {name: tpe, prior_weight: 1.0} # here"}, "sampler", "deprecated"),
    "cmaes several": (
        {"sampler": "sampler: cmaes # here", "objective": "objective: [{metric: val/loss}, {metric: val/accuracy}]"},
        "sampler",
        "one objective",
    ),
    "cmaes one range": ({"sampler": "sampler: cmaes # here"}, "sampler", "at least two ranges"),
    "controller several": (
        {
            "sampler": "sampler: policy_gradient # here",
            "objective": "objective: [{metric: val/loss}, {metric: val/accuracy}]",
        },
        "sampler",
        "policy_gradient takes one objective",
    ),
    "controller option": (
        {"sampler": "sampler: {name: policy_gradient, learning_rat: 1} # here"},
        "sampler.learning_rat",
        "learning_rate?",
    ),
    "controller value": (
        {"sampler": "sampler: {name: policy_gradient, learning_rate: 0} # here"},
        "sampler",
        "learning_rate is 0; allowed: above 0",
    ),
    "controller range": (
        {
            "sampler": "sampler: policy_gradient",
            "space": "space:\n  model.init_args.optimizer.init_args.lr: {log_uniform: [1.0e-4, 1.0e-1]} # here",
        },
        "space.model.init_args.optimizer.init_args.lr",
        "allowed are choices, or int ranges of up to 64 values",
    ),
    "no trials": ({"trials": None}, "trials", "how many trials?"),
    "trials 0": ({"trials": "trials: 0 # here"}, "trials", "0 given, allowed: whole numbers from 1"),
    "trials text": ({"trials": "trials: many # here"}, "trials", "'many' given"),
    "trials true": ({"trials": "trials: true # here"}, "trials", "true given"),
    "retries": ({"x": "retries: 1.5 # here"}, "retries", "1.5 given"),
    "fixed list": ({"fixed": "fixed: [1] # here"}, "fixed", "needed: a mapping"),
    "fixed typo": (
        {"fixed": "fixed:\n  trainer.max_epoch: 2 # here"},
        "fixed.trainer.max_epoch",
        "trainer.max_epochs?",
    ),
    "fixed new": (
        {"fixed": "fixed:\n  trainer.precision: 16-mixed # here"},
        "fixed.trainer.precision",
        "{trainer: {precision: '16-mixed'}} adds an option",
    ),
    "fixed twice": ({"fixed": f"fixed:\n  {LR}: 0.1", **space("{uniform: [1, 2]}")}, f"space.{LR}", "is fixed too"),
    "fixed inside": (
        {"fixed": f"fixed:\n  {LR}: 0.1 # here", "space": f"space:\n  {OPTIMIZER}: {{choice: [null]}}"},
        f"fixed.{LR}",
        "put it into its options",
    ),
    "no space": ({"space": None}, "space", "is missing"),
    "space list": ({"space": "space: [lr] # here"}, "space", "no mapping of paths"),
    "space empty": ({"space": "space: {} # here"}, "space", "no mapping of paths"),
    "path typo": (space("{uniform: [1, 2]}", f"{OPTIMIZER}.init_args.ler"), f"space.{OPTIMIZER}.init_args.ler", LR),
    "path elsewhere": (space("{uniform: [1, 2]}", "optimizer.lr"), "space.optimizer.lr", f"did you mean {LR}?"),
    "path short": (space("{uniform: [1, 2]}", "lr"), "space.lr", f"did you mean {LR}?"),
    "path unlike": (
        space("{uniform: [1, 2]}", "trainer.zzz"),
        "space.trainer.zzz",
        "allowed: log_every_n_steps, max_ep",
    ),
    "path index": (
        space("{uniform: [1, 2]}", "data.init_args.batch_transforms.1.init_args.alpha"),
        "space.data.init_args.batch_transforms.1.init_args.alpha",
        "did you mean data.init_args.batch_transforms.0.init_args.alpha?",
    ),
    "path empty part": (space("{uniform: [1, 2]}", "a..b"), "space.a..b", "an empty part"),
    "nested": (
        {"space": "space:\n  model: # here\n    init_args: {choice: [1]}"},
        "space.model",
        "key: model.init_args",
    ),
    "no mapping": (space("0.1"), f"space.{LR}", "0.1 given, needed: a mapping"),
    "unknown kind": (space("{loguniform: [1, 2]}"), f"space.{LR}", "did you mean log_uniform?"),
    "no kind": (space("{when: {}}"), f"space.{LR}", "given: none"),
    "two kinds": (space("{int: [1, 2], choice: [1]}"), f"space.{LR}", "given: int and choice"),
    "one bound": (space("{uniform: [1]}"), f"space.{LR}.uniform", "two bounds are needed"),
    "bounds a mapping": (space("{uniform: {min: 1, max: 2}}"), f"space.{LR}.uniform", "two bounds are needed"),
    "text bound": (space("{uniform: [0, high]}"), f"space.{LR}.uniform.1", "'high' given, a number"),
    "true bound": (space("{uniform: [false, 1]}"), f"space.{LR}.uniform.0", "false given, a number"),
    "null bound": (space("{uniform: [0, null]}"), f"space.{LR}.uniform.1", "null given, a number"),
    "nan bound": (space("{uniform: [0, .nan]}"), f"space.{LR}.uniform.1", "a finite number"),
    "too wide": (space("{uniform: [-1.0e+308, 1.0e+308]}"), f"space.{LR}.uniform", "wider than a float"),
    "reversed": (space("{uniform: [2, 1]}"), f"space.{LR}.uniform", "[2.0, 1.0] given, the first bound"),
    "equal": (space("{uniform: [1, 1]}"), f"space.{LR}.uniform", "must be below"),
    "log of 0": (space("{log_uniform: [0, 1]}"), f"space.{LR}.log_uniform", "lies above 0"),
    "log of less": (space("{log_int: [-1, 4]}"), f"space.{LR}.log_int", "lies above 0"),
    "int of fractions": (space("{int: [0.5, 3]}"), f"space.{LR}.int.0", "0.5 given, a whole number"),
    "int of 1.0": (space("{int: [1.0, 3]}"), f"space.{LR}.int.0", "1.0 given, a whole number"),
    "log_uniform of int": (
        space("{log_uniform: [16, 256]}", "data.init_args.batch_size"),
        "space.data.init_args.batch_size",
        "write log_int: [16, 256], or 64.0",
    ),
    "range of mapping": (space("{uniform: [0, 1]}", OPTIMIZER), f"space.{OPTIMIZER}", "has a mapping there"),
    "range of list": (
        space("{int: [1, 3]}", "model.init_args.network.init_args.hidden"),
        "space.model.init_args.network.init_args.hidden",
        "has a list there",
    ),
    "no options": (space("{choice: []}"), f"space.{LR}.choice", "[] given"),
    "choice of text": (space("{choice: sgd}"), f"space.{LR}.choice", "'sgd' given, needed: a list"),
    "options twice": (space("{choice: [1, 2, 1.0]}"), f"space.{LR}.choice.2", "cannot be told from the option 1"),
    "true and 1": (space("{choice: [1, true]}"), f"space.{LR}.choice.1", "true cannot be told from the option 1"),
    "infinite option": (space("{choice: [1, .inf]}"), f"space.{LR}.choice.1", "only finite numbers"),
    "choice points": (grid("{choice: [1.0, 2.0], points: 2}"), f"space.{LR}.points", "a grid has all its options"),
    "points without grid": (space("{int: [1, 2], points: 2}"), f"space.{LR}.points", "only the sampler grid"),
    "grid without points": (grid("{uniform: [1, 2]}"), f"space.{LR}", "needs points"),
    "no points": (grid("{uniform: [1, 2], points: 0}"), f"space.{LR}.points", "0 given"),
    "points text": (grid("{uniform: [1, 2], points: all}"), f"space.{LR}.points", "'all' given"),
    "too many points": (grid("{int: [1, 3], points: 5}"), f"space.{LR}.points", "only 3 different values"),
    "trials beyond the grid": (
        {
            "sampler": "sampler: grid",
            "space": f"space:\n  {LR}: {{int: [1, 3], points: 3}}",
            "trials": "trials: 4 # here",
        },
        "trials",
        "the grid has 3 points",
    ),
    "when text": (space(f"{{uniform: [1, 2], when: {OPTIMIZER}}}"), f"space.{LR}.when", "needed: a mapping"),
    "when unknown": (space("{uniform: [1, 2], when: {a.b: 1}}"), f"space.{LR}.when.a.b", "is not searched"),
    "when itself": (space(f"{{uniform: [1, 2], when: {{{LR}: 1}}}}"), f"space.{LR}.when.{LR}", "must stand before"),
    "when a range": (
        {"space": f"{TWO}\n  trainer.max_epochs: {{int: [1, 2], when: {{{LR}: 1}}}} # here", "fixed": None},
        f"space.trainer.max_epochs.when.{LR}",
        "is a range (log_uniform)",
    ),
    "when no option": (
        {"space": f"{NAMED}  data.init_args.batch_size: {{choice: [8], when: {{{OPTIMIZER}: adam}}}} # here"},
        f"space.data.init_args.batch_size.when.{OPTIMIZER}",
        "'adam' given, allowed: 'sgd', 'adamw'",
    ),
    "when none": (
        {"space": f"{NAMED}  data.init_args.batch_size: {{choice: [8], when: {{{OPTIMIZER}: []}}}} # here"},
        f"space.data.init_args.batch_size.when.{OPTIMIZER}",
        "each once",
    ),
    "never met": (
        {
            "space": f"{NAMED}  data.init_args.batch_size: {{choice: [8, 9], when: {{{OPTIMIZER}: sgd}}}}\n"
            f"  trainer.log_every_n_steps:\n    int: [1, 2]\n    when: "
            f"{{{OPTIMIZER}: adamw, data.init_args.batch_size: 8}} # here"
        },
        "space.trainer.log_every_n_steps.when",
        "never met together",
    ),
    "not under each option": (
        {"space": f"{NAMED}  {OPTIMIZER}.init_args.dampening: {{uniform: [0, 1], when: {{{OPTIMIZER}: sgd}}}} # here"},
        f"space.{OPTIMIZER}.init_args.dampening",
        f"does not state it where {OPTIMIZER} = sgd",
    ),
    "not under all its options": (
        {"space": NAMED.rstrip().replace(": sgd}}", ": [sgd, adamw]}} # here")},
        f"space.{OPTIMIZER}.init_args.momentum",
        f"where {OPTIMIZER} = adamw",
    ),
    "inside unconditionally": (
        {"space": f"space:\n  {OPTIMIZER}: {{choice: [null]}}\n  {LR}: {{uniform: [1, 2]}} # here"},
        f"space.{LR}",
        "say under which options",
    ),
    "inside, stated first": (
        {"space": f"space:\n  {LR}: {{uniform: [1, 2]}} # here\n  {OPTIMIZER}: {{choice: [null]}}"},
        f"space.{LR}",
        "say under which options",
    ),
    "pruner": ({"x": "pruner: {name: mediam} # here"}, "pruner.name", "did you mean median?"),
    "pruner option": ({"x": "pruner: {name: median, warmup: 1} # here"}, "pruner.warmup", "MedianPruner takes no"),
    "pruner needs": ({"x": "pruner: percentile # here"}, "pruner", "PercentilePruner needs percentile"),
    "pruner value": ({"x": "pruner: {name: percentile, percentile: 101.0} # here"}, "pruner", "Optuna refuses this"),
    "pruner type": ({"x": "pruner: {name: median, n_startup_trials: true} # here"}, "pruner.n_startup_trials", "true"),
    "threshold": ({"x": "pruner: threshold # here"}, "pruner", "Either lower or upper"),
    "none with option": ({"x": "pruner: {name: none, patience: 1} # here"}, "pruner.patience", "takes no options"),
    "patient in vain": (
        {"x": "pruner:\n  name: patient\n  patience: 1\n  pruner: {name: asha, rung: 1} # here"},
        "pruner.pruner.rung",
        "SuccessiveHalvingPruner takes no such option",
    ),
    "pruner of several": (
        {"objective": "objective: [{metric: val/loss}, {metric: val/accuracy}]", "x": "pruner: median # here"},
        "pruner",
        "by one objective",
    ),
    "pruner of costs": (
        {"objective": "objective: {metric: run/time_s}", "x": "pruner: median # here"},
        "pruner",
        "known at a run's end",
    ),
    "hyperband": ({"x": "pruner: {name: hyperband, min_resource: 3} # here"}, "pruner", "is above max_resource 2"),
    "storage": ({"x": "storage: study.db # here"}, "storage", "sqlite:///file"),
    "storage kind": ({"x": "storage: mongodb://a/b # here"}, "storage", "'mongodb://a/b' given"),
    "name": ({"x": "name: a/b # here"}, "name", "that can be a folder's"),
    "listed": ({"x": "listed: {} # here"}, "listed", "needed: a list of trials"),
    "listed text": ({"x": "listed: [a] # here"}, "listed.0", "'a' given, a mapping"),
    "listed value": ({"x": f"listed: [{{{LR}: 5}}] # here"}, f"listed.0.{LR}", "5 given, allowed: 0.0001 to 0.1"),
    "twice in the file": ({"x": "trials: 4 # here"}, "trials is given twice", "first on line"),
    "no YAML": ({"x": "storage: [ # here"}, "not YAML", ""),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_names_file_line_and_key(case):
    """The table holds what users get wrong; each says what was given, and what is allowed or was probably meant."""
    sections, key, part = MISTAKES[case]
    lines = write_sweep(**sections).read_text().splitlines()
    here = next((number for number, line in enumerate(lines, 1) if line.endswith("# here")), 1)
    with pytest.raises(UserError) as caught:
        read_sweep(Path("a.yaml"))
    message = str(caught.value)
    assert "\n" not in message
    assert part in message
    if case == "no YAML":
        assert message.startswith("a.yaml:")
    else:
        assert message.startswith(f"a.yaml:{here}: {key}"), message


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"trials": 0}, "--trials 0: allowed: 1"),
        ({"name": "a/b"}, "--name: 'a/b' given"),
        ({"storage": "x"}, "--storage: 'x' given"),
        ({"storage": "mongodb://me:secret@host/x"}, "--storage: 'mongodb://***@host/x' given"),
    ],
)
def test_a_mistake_on_the_command_line_names_its_option(options, part):
    """And shows no password."""
    with pytest.raises(UserError) as caught:
        read_sweep(write_sweep(), **options)
    assert str(caught.value).startswith(part)


def test_numbers_of_trials_that_cannot_be_changed():
    points = f"space:\n  {LR}: {{log_uniform: [0.001, 0.1], points: 3}}"
    with pytest.raises(UserError, match=r"^--trials: 4 given, the grid has 3 points$"):
        read_sweep(write_sweep(sampler="sampler: grid", trials=None, space=points), trials=4)
    with pytest.raises(UserError, match=r"^--trials 4: a.yaml lists its trials"):
        read_sweep(write_sweep(x=f"listed: [{{{LR}: 0.01}}]"), trials=4)


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        (space("{uniform: [0.001, 0.2]}"), (f"a.yaml:9: space.{LR}: uniform", "log_uniform: [0.001, 0.2]")),
        (space("{choice: [fast, 0.1]}"), (f"a.yaml:9: space.{LR}: the option 'fast' is a text, the recipe has 0.003",)),
        (space("{int: [1, 2]}", f"{OPTIMIZER}.class_path"), ("int gives numbers, the recipe has 'torch.optim.AdamW'",)),
        (space("{uniform: [32, 64]}", "data.init_args.batch_size"), ("draws fractions", "write int: [32, 64]")),
        (
            {"sampler": "sampler: cmaes", "space": f"{TWO}\n  trainer.max_epochs: {{choice: [1]}}", "fixed": None},
            ("at",),
        ),
        ({**grid("{log_uniform: [0.01, 0.1], points: 2}"), "sampler": "sampler: {name: grid, seed: 1}"}, ("ignored",)),
    ],
)
def test_what_is_hardly_meant_warns_in_one_line_and_is_read(sections, parts):
    with pytest.warns(UserWarning, match=r"^a.yaml:\d+: [^\n]*$") as caught:
        read_sweep(write_sweep(**sections))
    assert len(caught) == 1
    for part in parts:
        assert part in str(caught[0].message)


def test_what_is_left_out_has_a_default():
    sweep = read(write_sweep(Path("mine.yaml"), sampler=None, fixed=None, objective="objective: {metric: val/loss}"))
    assert (sweep.name, sweep.recipe, sweep.path) == ("mine", "digits_mlp", Path("mine.yaml"))
    assert (sweep.sampler, sweep.seed, sweep.trials, sweep.retries) == (Named("random"), 0, 4, 2)
    assert (sweep.pick, sweep.pruner, sweep.storage, sweep.listed) == ("best", None, None, ())
    assert sweep.objectives == (Objective("val/loss", "min"),)
    assert sweep.composed.values == compose([read_recipe(find("digits_mlp"))]).values


def test_costs_of_a_run_are_objectives_whose_mode_is_known():
    objective = "objective: [{metric: val/accuracy}, {metric: run/parameters}, {metric: run/samples_per_s}]"
    modes = [objective.mode for objective in read(write_sweep(objective=objective)).objectives]
    assert modes == ["max", "min", "max"]


def test_the_command_line_wins_over_the_file():
    path = write_sweep(x="name: there\nstorage: sqlite:///there.db")
    sweep = read(path, name="here", trials=7, storage="postgresql://me@host/db")
    assert (sweep.name, sweep.num_trials, sweep.storage) == ("here", 7, "postgresql+psycopg://me@host/db")
    assert (read(path).name, read(path).storage) == ("there", "sqlite:///there.db")


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ("postgresql://u:p@h:5/d?a=b", "postgresql+psycopg://u:p@h:5/d?a=b"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("mysql://h/d", "mysql+pymysql://h/d"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_database_gets_its_driver(given, completed):
    assert read(write_sweep(x=f"storage: {given}")).storage == completed


def test_a_recipe_is_looked_for_beside_the_sweep_then_here_then_among_the_shipped():
    folder = Path("sweeps")
    folder.mkdir()
    path = write_sweep(folder / "a.yaml")
    assert base_recipe("digits_mlp", folder) == find("digits_mlp")
    (folder / "digits_mlp").mkdir()
    assert read(path).composed.origin("data").startswith(str(find("digits_mlp")))
    shutil.copyfile(find("digits_mlp"), "mine.yaml")
    assert base_recipe("mine.yaml", folder) == Path("mine.yaml")
    shutil.copyfile(find("digits_mlp"), folder / "mine.yaml")
    assert base_recipe("mine.yaml", folder) == folder / "mine.yaml"
    assert base_recipe(str(folder.absolute() / "mine.yaml"), Path("elsewhere")) == folder.absolute() / "mine.yaml"


def test_a_trial_trains_the_recipe_with_the_fixed_and_the_drawn_values():
    """The oracle is the command line's own merging of overrides in the same order."""
    sweep = read(write_sweep(space=NAMED, fixed="fixed:\n  trainer: {max_epochs: 2, precision: 16-mixed}"))
    values = {OPTIMIZER: "sgd", LR: 0.05, f"{OPTIMIZER}.init_args.momentum": 0.85}
    overrides = [
        ("trainer.max_epochs", "2"),
        ("trainer.precision", "16-mixed"),
        (OPTIMIZER, "{class_path: torch.optim.SGD, init_args: {lr: 0.1, momentum: 0.9}}"),
        (LR, "0.05"),
        (f"{OPTIMIZER}.init_args.momentum", "0.85"),
    ]
    recipe = trial_recipe(sweep, values)
    assert recipe.values == compose([read_recipe(find("digits_mlp"))], overrides).values
    assert "weight_decay" not in recipe.get(OPTIMIZER)["init_args"]
    assert recipe.origin(LR) == "trial"
    assert recipe.origin("trainer.max_epochs") == "a.yaml:7"
    assert sweep.composed.get(OPTIMIZER)["class_path"] == "torch.optim.AdamW"


FULL = {
    "objective": "objective: [{metric: val/accuracy}, {metric: run/parameters}]",
    "sampler": "sampler: {name: tpe, seed: 7, n_startup_trials: 3, multivariate: true}",
    "fixed": "fixed:\n  trainer: {max_epochs: 2}\n  data.init_args.batch_size: 32",
    "space": NAMED + "  model.init_args.network.init_args.hidden: {choice: [[16], [32, 16]]}",
    "x": "pick: last\nretries: 5\nname: mine\nstorage: postgresql://me:secret@host/db",
}
PRUNED = {
    "x": "pruner: {name: patient, patience: 2, pruner: {name: percentile, percentile: 25.0}}",
    "space": TWO,
    "sampler": "sampler: cmaes",
}
ON_GRID = {
    "sampler": "sampler: grid",
    "trials": None,
    "space": "space:\n  trainer.log_every_n_steps: {choice: [1, 2, 3]}\n"
    f"  {LR}: {{log_uniform: [1.0e-4, 1.0e-1], points: 4}}\n"
    "  data.init_args.batch_size: {log_int: [8, 64], points: 2, when: {trainer.log_every_n_steps: [1, 2]}}",
}
LISTED = {"space": NAMED, "x": f"listed:\n- {{{OPTIMIZER}: adamw, {LR}: 0.001}}\n- {{{OPTIMIZER}: adamw, {LR}: 0.01}}"}


@pytest.mark.parametrize(
    "sections", [{}, FULL, PRUNED, ON_GRID, LISTED], ids=["least", "full", "pruned", "grid", "listed"]
)
def test_what_is_written_down_is_read_back_equal_but_for_the_password(sections):
    """Also with a recipe that holds the fixed values already, as the folder of a study has it."""
    sweep = read(write_sweep(**sections))
    Path("recipe.yaml").write_text(yaml.safe_dump(sweep.composed.values, sort_keys=False))
    Path("again.yaml").write_text(yaml.safe_dump(plain_sweep(sweep, recipe="recipe.yaml"), sort_keys=False))
    assert "secret" not in Path("again.yaml").read_text()
    again = read(Path("again.yaml"))
    assert again.composed.values == sweep.composed.values
    redacted = "postgresql+psycopg://me:***@host/db" if sweep.storage else None
    same = {"recipe": sweep.recipe, "path": sweep.path, "composed": sweep.composed}
    assert dataclasses.replace(again, **same) == dataclasses.replace(sweep, storage=redacted)
    assert again.num_trials == {4: 4, 20: 20, 2: 2}[sweep.num_trials]


def test_trials_of_a_grid_can_be_listed_again_with_other_seeds():
    """As `confirm` does: the points stay, the sampler is another, and the recipe need not state the seed."""
    sweep = read(write_sweep(**ON_GRID))
    seed = Range(path="seed_everything", low=0, high=2**32 - 1, integer=True)
    values = {"trainer.log_every_n_steps": 3, LR: 0.001, "seed_everything": 7}
    again = dataclasses.replace(
        sweep, space=Space((*sweep.space.parameters, seed)), sampler=Named("random"), listed=(values,)
    )
    stated = {key: value for key, value in sweep.composed.values.items() if key != "seed_everything"}
    Path("recipe.yaml").write_text(yaml.safe_dump(stated))
    Path("b.yaml").write_text(yaml.safe_dump(plain_sweep(again, recipe="recipe.yaml"), sort_keys=False))
    found = read(Path("b.yaml"))
    assert (found.space, found.listed, found.num_trials) == (again.space, (values,), 1)
    assert trial_recipe(found, values).get("seed_everything") == 7


def test_the_number_of_trials():
    """Of a grid all points, 4 x (2 + 2 + 1), or the first ones; of a list its length."""
    assert read(write_sweep(**ON_GRID)).num_trials == 20
    assert read(write_sweep(**ON_GRID), trials=3).num_trials == 3
    assert read(write_sweep(**LISTED)).num_trials == 2
    assert read(write_sweep()).num_trials == 4


def test_a_grid_without_end_is_refused_at_once():
    paths = ("data.init_args.batch_size", "trainer.log_every_n_steps")
    lines = [f"  {path}: {{log_int: [1000, 1000000000], points: 900}}" for path in paths]
    with pytest.raises(UserError, match=r"^a.yaml:5: space: a grid of more than 100000 points$"):
        read(write_sweep(sampler="sampler: grid", trials=None, fixed=None, space="\n".join(["space:", *lines])))


HOSTILE = (None, True, -1, 0.5, 10**400, float("nan"), "${x}\n", "x" * 5000, [], {"x": None})


@pytest.mark.parametrize("sections", [FULL, PRUNED, ON_GRID, LISTED], ids=["full", "pruned", "grid", "listed"])
def test_whatever_stands_in_whichever_place_is_read_or_refused_in_one_line(sections):
    """Every value of four sweeps is replaced by each of 10 others: nothing but a `UserError` comes out."""
    plain = plain_sweep(read(write_sweep(**sections)), recipe="digits_mlp")
    places = [place for place, _ in list(nodes(plain)) if place]
    outcomes = set()
    for place in places:
        for value in HOSTILE:
            changed = copy.deepcopy(plain)
            inside = changed
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = value
            Path("b.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
            outcomes.add(refusal := refusal_of(Path("b.yaml")))
            assert refusal is None or (refusal.startswith("b.yaml:") and "\n" not in refusal), (place, value)
    assert None in outcomes
    assert len(outcomes) > 20


def refusal_of(path: Path) -> str | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            read_sweep(path)
    except UserError as error:
        return str(error)
    return None


def nodes(plain, place=()):
    """Every value inside plain data with its place."""
    yield place, plain
    entries = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in entries:
        yield from nodes(value, (*place, key))


def test_reading_a_sweep_loads_no_torch(repository):
    """In a fresh interpreter, with a sampler, a pruner and what W&B gets; the samplers' file alone loads no Optuna."""
    program = (
        "import sys\n"
        "from lightning_cv.sweep.definition import pruners, samplers, wandb_sweep\n"
        "from lightning_cv.sweep.definition.file import read_sweep\n"
        "assert 'optuna' not in sys.modules\n"
        "from pathlib import Path\n"
        "sweep = read_sweep(Path('a.yaml'))\n"
        "pruners.make_pruner(sweep), samplers.make_sampler(sweep, 0)\n"
        "wandb_sweep.wandb_sweep(sweep)\n"
        "assert 'optuna' in sys.modules\n"
        "print(sorted({'torch', 'lightning', 'wandb', 'matplotlib'} & set(sys.modules)))\n"
    )
    write_sweep(sampler="sampler: gp", x="pruner: hyperband")
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
