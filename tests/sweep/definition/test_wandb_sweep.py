"""A sweep becomes the configuration of a W&B sweep whose agent starts the same trainings."""

import re
import warnings
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import find
from lightning_cv.sweep.definition.file import read_sweep, trial_recipe
from lightning_cv.sweep.definition.wandb_sweep import wandb_sweep
from tests.sweep.written import LR, OPTIMIZER, write_sweep

# What W&B publishes in its repository `sweeps`, src/sweeps/config/schema.json: the keys of each distribution, all of
# them needed, q aside; and those of a sweep.
KEYS = {
    "uniform": {"distribution", "min", "max"},
    "log_uniform_values": {"distribution", "min", "max"},
    "int_uniform": {"distribution", "min", "max"},
    "q_log_uniform_values": {"distribution", "min", "max", "q"},
}
TOP = {"name", "method", "metric", "run_cap", "command", "parameters", "early_terminate"}
SPACE = f"""space:
  {LR}: {{log_uniform: [1.0e-4, 1.0e-1]}}
  {OPTIMIZER}.init_args.weight_decay: {{uniform: [0.0, 0.5]}}
  data.init_args.batch_size: {{log_int: [8, 64]}}
  trainer.log_every_n_steps: {{int: [1, 20]}}
  model.init_args.network.init_args.dropout: {{choice: [0.0, 0.5]}}
"""


def export(**sections):
    """The configuration, as W&B reads it from a YAML file; a warning fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = wandb_sweep(read_sweep(write_sweep(**sections)))
    return yaml.safe_load(yaml.safe_dump(config))


def check_schema(config):
    """The rules of W&B's schema for what is used here."""
    assert config.keys() <= TOP
    assert config["method"] in ("random", "grid", "bayes")
    assert config["metric"].keys() == {"name", "goal"}
    assert config["metric"]["goal"] in ("minimize", "maximize")
    assert isinstance(config["run_cap"], int)
    assert config["run_cap"] > 0
    for name, parameter in config["parameters"].items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name)
        if "distribution" not in parameter:
            assert list(parameter) in (["value"], ["values"])
            assert parameter.get("values") != []
            continue
        assert parameter.keys() == KEYS[parameter["distribution"]]
        if parameter["distribution"].startswith(("log", "q_log")):
            assert parameter["min"] > 0
        if parameter["distribution"].startswith(("int", "q_log")):
            assert {type(parameter["min"]), type(parameter["max"])} == {int}
    if "early_terminate" in config:
        assert config["early_terminate"]["type"] == "hyperband"
        assert config["early_terminate"]["min_iter"] >= 1
        assert config["early_terminate"]["eta"] > 1


def test_each_kind_has_its_distribution_in_wandb():
    """A whole q is what makes W&B hand over a whole number."""
    config = export(space=SPACE)
    check_schema(config)
    parameters = config["parameters"]
    assert parameters[LR] == {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1}
    assert parameters[f"{OPTIMIZER}.init_args.weight_decay"] == {"distribution": "uniform", "min": 0.0, "max": 0.5}
    assert parameters["data.init_args.batch_size"] == {
        "distribution": "q_log_uniform_values",
        "min": 8,
        "max": 64,
        "q": 1,
    }
    assert type(parameters["data.init_args.batch_size"]["q"]) is int
    assert parameters["trainer.log_every_n_steps"] == {"distribution": "int_uniform", "min": 1, "max": 20}
    assert parameters["model.init_args.network.init_args.dropout"] == {"values": [0.0, 0.5]}
    assert parameters["trainer.max_epochs"] == {"value": 2}
    assert config["metric"] == {"name": "val/accuracy", "goal": "maximize"}
    assert (config["method"], config["run_cap"], config["name"]) == ("random", 4, "a")


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_samplers_that_learn_become_the_bayesian_method(sampler):
    space = f"space:\n  {LR}: {{log_uniform: [1.0e-4, 1.0e-1]}}\n  trainer.log_every_n_steps: {{int: [1, 20]}}"
    config = export(sampler=f"sampler: {sampler}", space=space, objective="objective: {metric: val/loss}")
    check_schema(config)
    assert config["method"] == "bayes"
    assert config["metric"]["goal"] == "minimize"


def test_a_grid_lists_its_values():
    points = (
        f"space:\n  {LR}: {{log_uniform: [1.0e-4, 1.0e-1], points: 4}}\n  trainer.log_every_n_steps: {{choice: [1, 2]}}"
    )
    config = export(sampler="sampler: grid", trials=None, space=points)
    check_schema(config)
    assert config["parameters"][LR] == {"values": [1e-4, 1e-3, 1e-2, 1e-1]}
    assert (config["method"], config["run_cap"]) == ("grid", 8)


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        ("hyperband", {"min_iter": 1, "eta": 3}),
        ("asha", {"min_iter": 1, "eta": 4}),
        ("{name: asha, min_resource: 2, reduction_factor: 3}", {"min_iter": 2, "eta": 3}),
        ("{name: asha, min_resource: auto}", {"min_iter": 1, "eta": 4}),
    ],
)
def test_halving_becomes_the_early_stopping_of_wandb(pruner, expected):
    config = export(x=f"pruner: {pruner}")
    check_schema(config)
    assert config["early_terminate"] == {"type": "hyperband", **expected}


def test_another_pruner_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"^a.yaml: W&B has no pruner median; its runs all train to their end$"):
        config = wandb_sweep(read_sweep(write_sweep(x="pruner: median")))
    assert "early_terminate" not in config


OPTIONS = [
    None,
    "null",
    True,
    "true",
    3,
    "3",
    1e-05,
    "1e-05",
    "a b",
    "a: b",
    "",
    [1, None],
    {"class_path": "x.Y", "n": None},
]
OPTIONS += [
    "it's",
    'say "so"',
    [True, 0.1, "x"],
    {"a": {"b": [1, {"c": "null"}]}},
    "\u00e9",
    "two\nlines",
    "[",
    "@x",
    "1_000",
]


@pytest.mark.parametrize("value", OPTIONS, ids=repr)
def test_what_an_agent_hands_over_is_the_recipe_of_the_trial(value):
    """The oracle is W&B's own code that makes an agent's arguments, read by the command line as `fit` reads it."""
    path = "model.init_args.loss"
    text = yaml.safe_dump({"space": {path: {"choice": [value, 12345]}, LR: {"uniform": [0.1, 0.2]}}}, sort_keys=False)
    with warnings.catch_warnings(action="ignore"):
        sweep = read_sweep(
            write_sweep(space=text.rstrip(), fixed="fixed:\n  trainer: {max_epochs: 3, precision: null}")
        )
    config = yaml.safe_load(yaml.safe_dump(wandb_sweep(sweep)))
    chosen = {name: {"value": p.get("value", p.get("values", [0.15])[0])} for name, p in config["parameters"].items()}
    arguments = create_sweep_command_args({"args": chosen})["args"]
    pairs = [argument.removeprefix("--").split("=", 1) for argument in arguments]
    recipe = compose([read_recipe(find("digits_mlp"))], [(name, text) for name, text in pairs])
    expected = trial_recipe(sweep, {path: sweep.space.get(path).keys[0], LR: 0.15})
    assert repr(recipe.values) == repr(expected.values)


def test_the_command_names_the_recipe_so_that_an_agent_finds_it():
    """A shipped one by its name from any folder, a file by its path from here; W&B leaves the words as they are."""
    assert export()["command"] == ["${env}", "lightning-cv", "fit", "classify/digits_mlp", "${args}"]
    assert find("classify/digits_mlp") == find("digits_mlp")
    Path("sweeps").mkdir()
    Path("sweeps/mine.yaml").write_bytes(find("digits_mlp").read_bytes())
    config = wandb_sweep(read_sweep(write_sweep(Path("sweeps/a.yaml"), recipe="recipe: mine.yaml")))
    assert create_sweep_command(config["command"])[3] == "sweeps/mine.yaml"


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"objective": "objective: [{metric: val/loss}, {metric: val/accuracy}]"}, "several objectives"),
        ({"objective": "objective: {metric: run/time_s}"}, "run/time_s is not logged to W&B"),
        (
            {
                "space": f"space:\n  trainer.log_every_n_steps: {{choice: [1, 2]}}\n"
                f"  {LR}: {{uniform: [0.1, 0.2], when: {{trainer.log_every_n_steps: 1}}}}"
            },
            f"{LR} depends on another parameter",
        ),
        ({"sampler": "sampler: qmc"}, "no sampler qmc; take random, grid, tpe, gp or cmaes"),
        ({"x": f"listed: [{{{LR}: 0.01}}]"}, "its trials are listed"),
        (
            {
                "sampler": "sampler: grid",
                "trials": "trials: 2",
                "space": f"space:\n  {LR}: {{uniform: [0.1, 0.2], points: 3}}",
            },
            "first 2 points of a grid",
        ),
    ],
)
def test_what_wandb_cannot_say_is_refused_in_one_line(sections, part):
    with pytest.raises(UserError, match=r"^a.yaml: W&B cannot run this sweep: [^\n]*$") as caught:
        export(**sections)
    assert part in str(caught.value)
