"""Does the command of a trial train its recipe in its folder, and is what it said in the end understood?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lightning_cv.cli.options import read_line
from lightning_cv.cli.program import read_request
from lightning_cv.recipe.compose import Composed, compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.shipped import find
from lightning_cv.sweep.definition.stated import apply
from lightning_cv.sweep.engine.command import command_words, last_words, num_devices, told_values
from tests.sweep.studies import LR, LR_RANGE, NETWORK, NETWORKS, WIDTH, WIDTH_RANGE, make_sweep


@pytest.mark.parametrize("name", ["digits", "two words", "-x", "--name", "a=b"])
def test_the_command_is_one_that_fit_reads(name):
    """Oracle: the reader of the command line; also names that look like options."""
    recipe = compose([read_recipe(find("digits_mlp"))])
    folder = Path("runs") / name / "trial-000-abcdef"
    folder.mkdir(parents=True)
    (folder / "trial.yaml").write_text(find("digits_mlp").read_text())
    words, entry = command_words(recipe, folder, name, allow_code=("mine", "other"))
    assert words[:2] == ["lightning-cv", "fit"]
    assert entry == "lightning_cv.cli.main:main"
    request = read_request("fit", read_line("fit", words[2:]))
    assert (request.run_dir, request.name, request.allow_code) == (folder, name, ("mine", "other"))
    assert request.composed.values == recipe.values


def test_a_trial_on_several_devices_is_a_program_of_its_own():
    """Lightning runs the command again for each further device, which a fork has none of."""
    recipe = compose([read_recipe(find("digits_mlp"))], [("trainer.devices", "2")])
    words, entry = command_words(recipe, Path("f"), "a", allow_code=())
    assert words[:5] == [sys.executable, "-P", "-m", "lightning_cv", "fit"]
    assert entry is None


@pytest.mark.parametrize(
    ("devices", "number"),
    [
        ("auto", 1),
        (1, 1),
        (2, 2),
        ("2", 2),
        (" 8 ", 8),
        ("0", 1),
        (0, 1),
        (-1, 1),
        ("-1", 1),
        ([0], 1),
        ([0, 3], 2),
        ("0,3", 2),
        ("3,", 1),
        (None, 1),
    ],
)
def test_the_number_of_devices_is_read_as_lightning_reads_it(devices, number):
    """Where it is left to what there is, a worker's one device is all that there is."""
    assert num_devices({"trainer": {"devices": devices}}) == number


@pytest.mark.parametrize("recipe", [{}, {"trainer": None}, {"trainer": {}}])
def test_without_a_word_on_devices_it_is_one(recipe):
    assert num_devices(recipe) == 1


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("epoch 1\nerror: a\nerror: the last one\n", "the last one"),
        ("bug: ValueError: x; please report it\n", "ValueError: x; please report it"),
        ("error: a\nstopped: SIGTERM received\nmore\n", "SIGTERM received"),
        ("some error: inside a line\n  error: not at its beginning\n", "exit status 4, see output.log"),
        ("", "exit status 4, see output.log"),
        (f"error: {'x' * 1000}\n", "x" * 300),
        (f"error: before\n{'x' * 100_000}\n", "exit status 4, see output.log"),
        (f"{'x' * 100_000}\nerror: behind\n", "behind"),
        ("error: \xff\n", "\ufffd"),
    ],
)
def test_the_last_words_of_a_program_are_its_last_line_that_tells_of_an_end(log, said):
    """Of a long log only the end is read; one reason is at most 300 characters."""
    Path("output.log").write_bytes(log.encode("latin-1"))
    assert last_words(Path("output.log"), 4) == said


def test_a_program_without_a_log_said_nothing():
    assert last_words(Path("output.log"), 70) == "exit status 70, see output.log"


def test_what_a_trial_is_told_to_use_stands_as_in_its_recipe():
    """Of an option the class, with what was searched inside it."""
    sweep = make_sweep(LR_RANGE, NETWORKS, WIDTH_RANGE)
    values = {LR: 0.01, NETWORK: "resnet", WIDTH: 16}
    recipe: Composed = apply(sweep.composed, sweep.space, values)
    resnet = {"class_path": "lightning_cv.networks.classify.SmallResNet", "init_args": {"width": 16}}
    assert told_values(recipe, values) == {LR: 0.01, NETWORK: resnet, WIDTH: 16}
