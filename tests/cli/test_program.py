"""The command line of fit, validate, test and predict becomes one request, or one line that says what is wrong."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lightning_cv.cli import program
from lightning_cv.cli.main import main
from lightning_cv.cli.options import OPTIONS, RUNS
from lightning_cv.recipe.request import OptionsRequest, RunRequest

RECIPE = """\
seed_everything: 0
model: {class_path: a.T, init_args: {lr: 0.1}}
data: {class_path: a.D}
trainer: {max_epochs: 3}
"""


@pytest.fixture(autouse=True)
def recipe_file():
    Path("mine.yaml").write_text(RECIPE)
    return "mine.yaml"


@pytest.fixture
def asked(monkeypatch):
    """What the command line asks of the run, in place of running it."""
    requests: list[RunRequest | OptionsRequest] = []

    def note(request):
        requests.append(request)
        return 5

    runner = SimpleNamespace(execute=note, show_options=note)
    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda n: runner if n == "lightning_cv.run.program" else real(n))

    def ask(*line: str):
        requests.clear()
        assert main(line) == 5
        return requests[0]

    return ask


def refusal(capsys, *line: str) -> str:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error.removeprefix("error: ").removesuffix("\n")


def test_without_options_the_recipe_is_what_the_file_says(asked):
    request = asked("fit", "mine.yaml")
    assert request.verb == "fit"
    assert request.composed.values["model"]["init_args"] == {"lr": 0.1}
    assert request.composed.origins["trainer.max_epochs"] == "mine.yaml:4"
    assert (request.name, request.runs_dir, request.run_dir) == ("mine", Path("runs"), None)
    assert (request.checkpoint, request.images, request.allow_code) == (None, None, ())
    assert (request.test_after_fit, request.print_config) == (False, False)


def test_every_option_reaches_the_request(asked):
    Path("more.yaml").write_text("trainer: {max_epochs: 4, devices: 1}\n")
    request = asked(
        *("fit", "-c", "more.yaml", "mine.yaml", "--seed", "7", "--test", "--name=n", "--runs-dir", "r"),
        *("--run-dir=r/x", "--allow-code", "sys", "--allow-code=os", "--print_config"),
        *("--model.init_args.lr", "1e-3", "--trainer.limit_train_batches=0.5", "--trainer.max_steps", "-1"),
    )
    values = request.composed.values
    assert values["trainer"] == {"max_epochs": 4, "devices": 1, "limit_train_batches": 0.5, "max_steps": -1}
    assert values["seed_everything"] == 7
    assert values["model"]["init_args"]["lr"] == 0.001
    assert request.composed.origins["seed_everything"] == "command line"
    assert (request.name, request.runs_dir, request.run_dir) == ("n", Path("r"), Path("r/x"))
    assert request.allow_code == ("sys", "os")
    assert request.test_after_fit
    assert request.print_config


def test_devices_and_nodes_are_short_for_keys_of_the_trainer(asked):
    """For every verb, in the order of the line: the last one counts, whichever way it is written."""
    for given, devices in {"2": 2, "-1": -1, "[0, 2]": [0, 2], "0,2": "0,2", "auto": "auto"}.items():
        for verb in RUNS:
            request = asked(verb, "mine.yaml", "--ckpt=x", "--devices", given, "--nodes=4")
            assert request.composed.values["trainer"] == {"max_epochs": 3, "devices": devices, "num_nodes": 4}
            assert request.composed.origins["trainer.devices"] == "command line"
    assert asked("fit", "mine.yaml", "--devices=2", "--trainer.devices=3").composed.get("trainer.devices") == 3
    assert asked("fit", "mine.yaml", "--trainer.devices=3", "--devices=2").composed.get("trainer.devices") == 2


def test_the_batch_is_found_only_where_that_is_asked_for(asked):
    request = asked("fit", "mine.yaml", "--batch", "auto", "--batch-memory", "1.5GB")
    assert (request.auto_batch, request.batch_memory) == (True, 1_500_000_000)
    request = asked("fit", "mine.yaml", "--batch=auto")
    assert (request.auto_batch, request.batch_memory) == (True, None)
    request = asked("fit", "mine.yaml")
    assert (request.auto_batch, request.batch_memory) == (False, None)


def test_options_of_scoring(asked):
    request = asked("predict", "mine.yaml", "--ckpt", "best.ckpt", "--images=photos")
    assert (request.checkpoint, request.images) == (Path("best.ckpt"), Path("photos"))
    for verb in ("validate", "test"):
        assert asked(verb, "mine.yaml", "--ckpt=x").checkpoint == Path("x")


def test_a_run_that_goes_on_keeps_its_batch(capsys):
    Path("r").mkdir()
    Path("r/recipe.yaml").write_text(RECIPE)
    said = refusal(capsys, "fit", "--resume=r", "--batch=auto")
    assert said == "--resume and --batch exclude each other: a run goes on with the batch that it has"


def test_a_shipped_recipe_is_found_by_name(asked):
    request = asked("fit", "digits_resnet")
    assert request.name == "digits_resnet"
    assert request.composed.values["model"]["class_path"] == "lightning_cv.tasks.Classify"


def test_the_recipe_of_a_run_is_found_from_its_checkpoint(asked):
    """Given the folder, a snapshot in it, or its recipe by name; the name is the run's, not `recipe`."""
    run = Path("runs/digits/abc")
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    for line in (["--ckpt", str(run)], ["--ckpt", str(run / "checkpoints" / "best.ckpt")], [str(run)]):
        request = asked("test", *line)
        assert request.composed.values["trainer"] == {"max_epochs": 3}
        assert request.name == "digits"


def test_the_folder_of_a_run_may_stand_for_its_checkpoint_where_it_is_scored(asked, capsys):
    """`predict RUN`: the same as `predict --ckpt RUN`; a folder that is no run is no recipe either."""
    run = Path("runs/mine/abc")
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    for verb in ("validate", "test", "predict"):
        request = asked(verb, str(run), "--seed=3")
        other = asked(verb, "--ckpt", str(run), "--seed=3")
        assert request.checkpoint == other.checkpoint == run
        assert request.composed.values == other.composed.values
        assert request.name == other.name == "mine"
    assert asked("fit", str(run)).checkpoint is None, "a new run with the recipe of that one"
    assert "runs" in refusal(capsys, "predict", "runs")


def test_whole_sections_can_be_given_by_their_key(asked):
    request = asked("fit", "mine.yaml", "--trainer={devices: 2}", "--data", "b.E", "--seed_everything=4")
    assert request.composed.values["trainer"] == {"max_epochs": 3, "devices": 2}
    assert request.composed.values["data"] == {"class_path": "b.E"}
    assert request.composed.values["seed_everything"] == 4


def test_questions_about_options_reach_the_run(asked):
    assert asked("fit", "--trainer.help") == OptionsRequest(subject="trainer")
    assert asked("fit", "mine.yaml", "--model.help") == OptionsRequest(subject="model")
    request = asked("fit", "--allow-code", "sys", "--data.help", "a.D")
    assert request == OptionsRequest(subject="data", class_path="a.D", allow_code=("sys",))
    assert asked("fit", "--model.help=a.T", "mine.yaml").class_path == "a.T"


def test_allowed_code_is_found_beside_the_user_but_takes_no_ones_place(asked, monkeypatch):
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    asked("fit", "mine.yaml")
    assert sys.path == ["elsewhere"]
    asked("fit", "mine.yaml", "--allow-code", "mine")
    asked("fit", "mine.yaml", "--allow-code", "mine")
    assert sys.path == ["elsewhere", str(Path.cwd())]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["fit"], "fit needs a recipe: give a file or a name from lightning-cv recipes"),
        (["test"], "test needs a recipe: give a file or a name from lightning-cv recipes, or --ckpt with"),
        (["fit", "mine.yaml", "--images=x"], "--images is an option of predict, not of fit"),
        (["fit", "mine.yaml", "--batch=32"], "--batch 32: the only value is auto; a batch size is --data.init_args."),
        (["fit", "mine.yaml", "--batch="], "--batch : the only value is auto"),
        (["fit", "--resume=r", "--batch=auto"], "--resume r: not the folder of a run"),
        (["fit", "mine.yaml", "--batch-memory=1GB"], "--batch-memory says how much --batch may use; give --batch auto"),
        (["fit", "mine.yaml", "--batch=auto", "--batch-memory=1XB"], "--batch-memory 1XB: give a size such as 20GB"),
        (["test", "mine.yaml", "--batch=auto"], "--batch is an option of fit, not of test"),
        (["test", "mine.yaml", "--images=x"], "--images is an option of predict, not of test"),
        (["fit", "mine.yaml", "--run-dirs=x"], "--run-dirs is not an option of fit; did you mean --run-dir?"),
        (["fit", "mine.yaml", "--tes"], "--tes is not an option of fit; did you mean --test?"),
        (["fit", "mine.yaml", "--print"], "--print is not an option of fit"),
        (["fit", "mine.yaml", "-x"], "-x is not an option of fit"),
        (["fit", "mine.yaml", "-x.y=1"], "-x.y is not an option; overrides are written --KEY.PATH=VALUE"),
        (["fit", "mine.yaml", "--seed"], "--seed needs a value: --seed=VALUE"),
        (["fit", "mine.yaml", "--name", "--test"], "--name needs a value"),
        (["fit", "mine.yaml", "--run-dir="], "--run-dir needs a value"),
        (["fit", "mine.yaml", "--test=yes"], "--test takes no value, got yes"),
        (["fit", "mine.yaml", "other.yaml"], "other.yaml: a second recipe after mine.yaml; merge it with --config"),
        (["fit", "mine.yaml", "--name", "a/b"], "--name a/b: give a name that can be a folder's"),
        (["fit", "mine.yaml", "--name=.."], "--name ..: give a name"),
        (["fit", "mine.yaml", "--trainr.max_epochs=1"], "a recipe has no trainr; did you mean trainer?"),
        (["fit", "mine.yaml", "-c", "gone.yaml"], "gone.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_line_before_torch_is_loaded(capsys, monkeypatch, line, said):
    monkeypatch.setattr(program, "_RUNNER", "nothing.may.be.imported")
    assert refusal(capsys, *line).startswith(said) or said in refusal(capsys, *line)


def test_help_of_a_verb_lists_its_options_only(capsys):
    for verb in RUNS:
        assert main([verb, "mine.yaml", "-h"]) == 0
        text = capsys.readouterr().out
        for option in OPTIONS:
            assert (f"\n  {option.name} " in text) == (verb in option.verbs), (verb, option.name)
        assert "--trainer.help" in text
