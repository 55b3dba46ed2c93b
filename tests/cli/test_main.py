"""The front of the command line: fast, loads nothing heavy, and turns a user's mistake into one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_cv import __version__
from lightning_cv.cli import main as front
from lightning_cv.cli.main import VERBS, main
from lightning_cv.errors import DataError, NonFiniteLossError, Preempted, ResourceError, UserError

HEAVY = ("torch", "torchvision", "lightning", "numpy", "torchmetrics", "timm", "wandb", "jsonargparse", "rich")


def test_help_recipes_and_help_of_fit_load_nothing_heavy(repository):
    """The oracle is sys.modules of a fresh interpreter that runs them all."""
    script = f"""
import sys
from lightning_cv.cli.main import main
lines = [["--help"], [], ["--version"], ["recipes"], ["recipes", "show", "digits_resnet"], ["recipes", "--help"]]
lines += [[verb, "--help"] for verb in ("fit", "validate", "test", "predict")]
for line in lines:
    assert main(line) == 0, line
assert main(["nope"]) == main(["fit"]) == main(["fit", "nope"]) == main(["fit", "--nope"]) == 2
print("heavy:", sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_the_verb_table_names_modules_that_run(capsys):
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: lightning-cv {verb}")


def test_help_lists_every_verb_with_one_line_and_examples(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb, (_, summary) in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(summary)}$", text, re.MULTILINE)
    assert text.count("\n  lightning-cv ") == 5
    main([])
    assert capsys.readouterr().out == text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lightning-cv {__version__}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["predit"], "predit is not a verb of lightning-cv; did you mean predict?"),
        (
            ["xyz"],
            "xyz is not a verb of lightning-cv; allowed: compare, doctor, export, fit, inspect, jobs, predict, "
            "recipes, sample, submit, sweep, sync, test, validate",
        ),
        (["fit", "nothing_like_it.yaml"], "nothing_like_it.yaml: no such file; see lightning-cv recipes"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_status_2(capsys, line, said):
    assert main(line) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {said}\n"


def raising(error: BaseException):
    def run(arguments):
        raise error

    return run


@pytest.fixture
def fit(monkeypatch):
    """Put a function in the place of `lightning-cv fit`."""
    import lightning_cv.cli.fit as module

    return lambda run: monkeypatch.setattr(module, "run", run)


def test_traceback_is_shown_on_request_only(capsys, fit):
    fit(raising(UserError("first\nsecond")))
    assert main(["fit", "x"]) == 2
    assert capsys.readouterr().err == "error: first second\n"
    for line in (["--traceback", "fit", "x"], ["fit", "x", "--traceback"]):
        assert main(line) == 2
        text = capsys.readouterr().err
        assert text.startswith("Traceback (most recent call last):")
        assert text.endswith("error: first second\n")


def test_the_error_says_the_exit_status(capsys, fit):
    class OtherError(NonFiniteLossError):
        exit_code = 7

    fit(raising(OtherError("x")))
    assert main(["fit"]) == 7


def test_our_own_mistakes_show_a_traceback_and_end_with_status_70(capsys, fit):
    fit(raising(KeyError("a bug")))
    assert main(["fit"]) == 70
    text = capsys.readouterr().err
    assert text.startswith("Traceback (most recent call last):")
    assert text.splitlines()[-1] == "bug: KeyError: 'a bug'; please report it with the lines above"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("a"), 2, "error: a"),
        (DataError("a"), 3, "error: a"),
        (NonFiniteLossError("a"), 4, "error: a"),
        (ResourceError("a"), 5, "error: a"),
        (Preempted("SIGTERM received"), 75, "stopped: SIGTERM received"),
    ],
)
def test_each_kind_of_end_has_the_exit_status_that_the_help_names(capsys, fit, error, status, line):
    """A scheduler acts on them: the numbers are part of the command's interface."""
    fit(raising(error))
    assert main(["fit"]) == status
    assert capsys.readouterr().err == f"{line}\n"
    assert main(["--help"]) == 0
    numbers = re.findall(r"(?<=[ :,\n])(\d+) [a-z]", capsys.readouterr().out.partition("exit status")[2])
    assert str(status) in numbers


def test_an_interrupt_is_one_line_and_status_130(capsys, fit):
    fit(raising(KeyboardInterrupt()))
    assert main(["fit"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_ends_quietly(repository):
    """As in `lightning-cv recipes show NAME | head -1`, with nobody left to read."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "lightning_cv", "recipes", "show", "digits_resnet"]
    for buffered in ("", "1"):
        environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
        done = subprocess.run(
            command, cwd=repository, env=environment, stdout=write_end, stderr=subprocess.PIPE, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(write_end)


def test_a_broken_pipe_elsewhere_is_not_hidden(monkeypatch, fit):
    read_end, write_end = os.pipe()
    monkeypatch.setattr(sys, "stdout", os.fdopen(write_end, "w"))
    fit(raising(BrokenPipeError("a worker died")))
    with pytest.raises(BrokenPipeError):
        main(["fit"])
    os.close(read_end)


def test_every_verb_has_a_file_of_its_own():
    files = {path.stem for path in Path(front.__file__).parent.glob("*.py")}
    assert {module.rpartition(".")[2] for module, _ in VERBS.values()} <= files
    assert {module.rpartition(".")[2] for module, _ in VERBS.values()} == set(VERBS)
