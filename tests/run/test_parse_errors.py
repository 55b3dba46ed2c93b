"""What the parser or a constructor refuses becomes one line: file and line, key, what was given, what is expected."""

import copy
import random
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed, compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.paths import walk
from lightning_cv.run.parse_errors import explain
from tests.run.recipe_parts import RECIPE, build, compose_text, make_parser

TASK = "model.init_args"


@pytest.fixture(scope="module")
def parser():
    return make_parser()


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level("ERROR", logger="lightning.pytorch")


def line_of(composed: Composed, parser) -> str:
    """The one line that building the recipe ends with."""
    with pytest.raises((UserError, RuntimeError)) as caught:
        build(composed, parser)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{TASK}.network.init_args.num_classes", "abc", " is 'abc'; expected int"),
        (f"{TASK}.optimizer.init_args.lr", "abc", " is 'abc'; expected float"),
        (f"{TASK}.optimizer.init_args.betas", "[0.9, x]", ".1 is 'x'; expected float"),
        (f"{TASK}.optimizer.init_args.betas", "3", " is 3; expected "),
        (f"{TASK}.direction", "up", " is 'up'; expected min or max"),
        (f"{TASK}.color", "GREEN", " is 'GREEN'; expected RED or BLUE"),
        (f"{TASK}.sizes", "[1, b]", ".1 is 'b'; expected int"),
        (f"{TASK}.sizes", "1.5", " is 1.5; expected "),
        (f"{TASK}.by_epoch", "{4: b}", ".4 is 'b'; expected float or null"),
        (f"{TASK}.by_epoch", "{a: 1}", " is {0: 1.5, 'a': 1}; expected int keys or null"),
        (f"{TASK}.multilabel", "7", " is 7; expected bool"),
        (f"{TASK}.margin", "s", " is 's'; expected int or float"),
        (f"{TASK}.pair", "[1]", " is [1]; expected tuple with 2 elements"),
        (f"{TASK}.pair", "[1, x]", ".1 is 'x'; expected float"),
        (f"{TASK}.network", "torch.nn.Linear", " lacks in_features, out_features, which torch.nn.Linear requires"),
        (f"{TASK}.loss", "torch.optim.SGD", ".class_path names torch.optim.SGD, which is not a kind of Module"),
        (f"{TASK}.optimizer", "torch.nn.ReLU", ".class_path names torch.nn.ReLU, which is not a kind of Optimizer"),
        ("data.init_args.batch_size", "4.5", " is 4.5; expected int"),
        ("callbacks.early.init_args.patience", "x", " is 'x'; expected int"),
        ("callbacks.early", "torch.nn.ReLU", ".class_path names torch.nn.ReLU, which is not a kind of Callback"),
        ("trainer.max_epochs", "many", " is 'many'; expected int or null"),
        ("trainer.limit_train_batches", "x", " is 'x'; expected int, float or null"),
        ("trainer.precision", "17", " is 17; expected 64, 32, 16, transformer-engine"),
        ("trainer.logger", "{class_path: lightning.pytorch.loggers.CSVLogger}", " lacks save_dir, which lightning"),
        ("seed_everything", "x", " is 'x'; expected bool or int"),
        ("trainer.strategy", "foo", ": You selected an invalid strategy name: `strategy='foo'`."),
        ("trainer.accelerator", "foo", ": You selected an invalid accelerator name"),
        ("trainer.profiler", "foo", ": When passing string value for the `profiler` parameter"),
        (f"{TASK}.margin", "13", ": margin must lie in [0, 12], got 13"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(parser, path, value, said):
    """Wrong types at several depths, items of lists, choices, missing options, constructors: the oracle is by hand."""
    line = line_of(compose_text(overrides={path: value}), parser)
    assert line.startswith(f"command line: {path}{said}")


def test_an_item_of_a_list_of_classes_is_found(parser):
    stop = "{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: %s}}"
    callbacks = f"[{stop % 'a'}, {{class_path: lightning.pytorch.callbacks.Timer, init_args: {{interval: {{}}}}}}]"
    line = line_of(compose_text(overrides={"trainer.callbacks": callbacks}), parser)
    assert line.startswith("command line: trainer.callbacks.1.init_args.interval is {}; expected ")


def test_a_required_part_that_is_missing_is_named(parser):
    line = line_of(compose_text(overrides={f"{TASK}.network": "null"}), parser)
    assert line == "recipe.yaml:3: model lacks network, which tests.run.recipe_parts.Task requires"


def test_a_constructor_that_names_no_option_is_named_itself(parser):
    """Its code is among the frames that the error passed through."""
    line = line_of(compose_text(overrides={"data.init_args.batch_size": "0"}), parser)
    assert line == "recipe.yaml:24: data: needs at least one sample a batch, got 0"


def test_an_error_that_names_its_key_gets_the_place_only():
    error = UserError("data.init_args.batch_size: -3 given, allowed: 1 or more")
    origins = {"data": "recipe.yaml:4", "data.init_args.batch_size": "command line"}
    assert explain(error, origins) == f"command line: {error}"
    assert explain(UserError("data.init_args.root: no such folder"), origins).startswith("recipe.yaml:4: data.init")


def test_the_file_and_line_are_those_of_the_value(parser):
    line = line_of(compose_text(RECIPE.replace("lr: 1.0e-3", "lr: fast")), parser)
    assert line == "recipe.yaml:12: model.init_args.optimizer.init_args.lr is 'fast'; expected float"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{model_name: test_resnet, num_clases: 3}", "init_args.num_clases: "),
        ("{model_name: test_resnot}", "init_args.model_name: Unknown model (test_resnot)"),
    ],
)
def test_options_that_were_handed_on_are_named_as_the_recipe_states_them(parser, options, said):
    network = f"{TASK}.network"
    composed = compose_text(overrides={network: "timm.create_model", f"{network}.init_args": options})
    assert line_of(composed, parser).startswith(f"command line: {network}.{said}")


def test_long_values_are_shortened(parser):
    line = line_of(compose_text(overrides={"trainer.max_epochs": "x" * 5000}), parser)
    assert len(line) < 200
    line = line_of(compose_text(overrides={f"{TASK}.margin": "[" + "1, " * 2000 + "2]"}), parser)
    assert len(line) < 200


@pytest.mark.parametrize(
    "error",
    [
        ValueError(""),
        RuntimeError("Does not validate against any of the Union subtypes\nErrors:\n  - x"),
        KeyError("model"),
        TypeError('Parser key "model":\n'),
        ValueError("Parser key \"nothing.like.this\":\n  Expected a <class 'int'>. Got value: \n"),
        UserError("trainer.devices is 9"),
    ],
)
def test_any_error_becomes_one_line(error):
    for origins, values in (({}, None), ({"model": "recipe.yaml:3"}, {"model": {"class_path": "a.B"}})):
        line = explain(error, origins, values)
        assert line
        assert "\n" not in line


# Mutations of a recipe, as slips of the hand make them.

JUNK: tuple[Any, ...] = (
    None,
    "garbage",
    -7,
    3.5,
    True,
    [],
    {},
    [1, "x"],
    {"a": {"b": 1}},
    "torch.nn.ReLU",
    "é\u2028\t",
    "",
)


def places(values: dict[str, Any]) -> list[tuple[Any, Any, str]]:
    """(container, key, path) of everything in a recipe."""
    found = []
    for path, value in walk(values):
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        found += [(value, key, f"{path}.{key}".lstrip(".")) for key in keys]
    return found


def mutate(values: dict[str, Any], draw: random.Random) -> None:
    """One slip: a key renamed, a value replaced, deleted, indented wrongly or swapped with another."""
    container, key, _ = draw.choice(places(values))
    kind = draw.choice(["rename", "junk", "delete", "swap", "wrap", "typo", "add"])
    if kind == "rename" and isinstance(container, dict):
        index = draw.randrange(len(str(key)))
        container[str(key)[:index] + draw.choice("_xq") + str(key)[index + 1 :]] = container.pop(key)
    elif kind == "typo" and isinstance(container[key], str) and container[key]:
        index = draw.randrange(len(container[key]))
        container[key] = container[key][:index] + container[key][index + 1 :]
    elif kind == "delete":
        del container[key]
    elif kind == "swap":
        other, other_key, _ = draw.choice(places(values))
        container[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(container[key])
    elif kind == "wrap":
        container[key] = draw.choice([[container[key]], {"init_args": container[key]}, {"value": container[key]}])
    elif kind == "add" and isinstance(container, dict):
        container[draw.choice(["class_path", "init_args", "extra", "trainer"])] = draw.choice(JUNK)
    else:
        container[key] = copy.deepcopy(draw.choice(JUNK))


def slips(count: int) -> Iterator[str]:
    draw = random.Random(20240607)  # noqa: S311
    for number in range(count):
        values = yaml.safe_load(RECIPE)
        mutate(values, draw)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        if number % 10 == 0:  # and the text itself: a cut, a tab, a colon too many
            at = draw.randrange(len(text))
            text = (
                text[:at] + draw.choice(["", "\t", ": ", "[", "'", "\x00", "&", "  "]) + text[at + draw.randrange(3) :]
            )
        yield text


def outcome(text: str, parser) -> str | None:
    """None if the recipe can be built, else its line; anything but a line fails the test."""
    path = Path("recipe.yaml")
    path.write_text(text, encoding="utf-8")
    try:
        build(compose([read_recipe(path)]), parser)
    except (UserError, RuntimeError) as error:
        return str(error)
    return None


@pytest.mark.slow
def test_hundreds_of_slips_each_end_in_one_line_that_names_key_and_place(parser):
    """No traceback, one line each, at least 99% with file, line and a key (or what is missing at the top)."""
    place = re.compile(r"recipe\.yaml:\d+: \w|recipe\.yaml:\d+:\d+: not YAML|recipe\.yaml: \w+ is missing")
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in slips(400):
            line = outcome(text, parser)
            if line is not None:
                assert "\n" not in line
                assert len(line) < 1000
                lines.append(line)
    assert len(lines) > 250
    unplaced = [line for line in lines if not place.match(line)]
    assert len(unplaced) <= 0.01 * len(lines), unplaced
