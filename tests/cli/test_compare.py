"""`lightning-cv compare` sets runs side by side."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from tests.compare.maker import history, make_run, recipe


@pytest.fixture
def runs():
    make_run("runs/digits/a", history([0.5, 0.7, 0.6]))
    make_run("runs/digits/b", history([0.6, 0.9, 0.4]), recipe(trainer__max_epochs=9))


def output(capsys, *line):
    assert main(["compare", *line]) == 0
    return capsys.readouterr().out


def test_the_table_says_what_differs_and_who_is_better(runs, capsys):
    text = output(capsys, "runs")
    assert text.splitlines()[0].split() == ["a", "b"]
    assert "trainer.max_epochs           3          9" in text
    assert "val/accuracy best ↑   0.7 @ 20   0.9 @ 20" in text
    assert "batch_size" not in text


def test_help_tells_every_option(capsys):
    text = output(capsys, "--help")
    for option in (
        "--metric",
        "--mode",
        "--sort",
        "--descending",
        "--curves",
        "--plot",
        "--x",
        "--json",
        "--csv",
        "--wandb",
    ):
        assert option in text


def test_it_sorts(runs, capsys):
    line = ["runs", "--csv", "--sort", "val/accuracy"]
    assert [row[0] for row in output(capsys, *line).splitlines()[1:]] == ["a", "b"]
    assert [row[0] for row in output(capsys, *line, "--descending").splitlines()[1:]] == ["b", "a"]


def test_metric_and_mode_choose_what_is_compared(runs, capsys):
    found = json.loads(output(capsys, "runs", "--json", "--metric", "train/loss", "--mode", "max"))
    assert found["metrics"] == [{"name": "train/loss", "mode": "max", "mode_from": "--mode"}]
    assert found["runs"][0]["facts"]["train/loss:best"] == 1 / 5
    found = json.loads(output(capsys, "runs", "--json", "--mode", "val/loss=max"))
    assert {"name": "val/loss", "mode": "max", "mode_from": "--mode"} in found["metrics"]


@pytest.mark.parametrize(("name", "start"), [("t.json", "{"), ("t.csv", "run,"), ("t.md", "| run |")])
def test_output_writes_a_file_by_its_suffix_and_still_shows_the_table(runs, capsys, name, start):
    text = output(capsys, "runs", "--output", f"new/{name}")
    assert Path("new", name).read_text().startswith(start)
    assert "val/accuracy best" in text
    assert text.endswith(f"wrote new/{name}\n")


def test_what_goes_to_a_program_is_free_of_other_words(runs, capsys):
    assert main(["compare", "runs", "--json", "--plot", "curves.png"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert captured.err == "wrote curves.png\n"
    assert Path("curves.png").stat().st_size > 1000


def test_curves_are_shown_below_the_table(runs, capsys):
    text = output(capsys, "runs", "--curves", "--x", "samples", "--metric", "val/accuracy", "--metric", "val/loss")
    assert "val/accuracy ↑ over samples" in text
    assert "val/loss ↓ over samples" in text


def test_two_runs_that_are_equal_are_called_so(capsys):
    make_run("a")
    make_run("b")
    assert "no difference: a and b have the same recipe, the same seed and equal metrics" in output(capsys, "a", "b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "compare needs a run"),
        (["nothing"], "nothing: no such folder"),
        (["empty"], "empty: no run in this folder or below it"),
        (["runs", "--metrc", "x"], "--metrc is not an option of compare; did you mean --metric?"),
        (["runs", "--metric", "val/x"], "--metric val/x: no run has this metric"),
        (["runs", "--mode", "up"], "--mode up: allowed are max and min"),
        (["runs", "--mode", "max"], "--mode max: of which metric? --mode METRIC=max"),
        (["runs", "--mode", "val/accuracy=min"], "the recipe of runs/digits/a says max"),
        (["runs", "--sort", "nothing"], "--sort nothing: no such column"),
        (["runs", "--sort"], "argument --sort: expected one argument"),
        (["runs", "--descending"], "--descending needs --sort"),
        (["runs", "--x", "years"], "invalid choice: 'years'"),
        (["runs", "--json", "--csv"], "not allowed with argument"),
        (["runs", "--output", "a.txt"], "--output a.txt: give .json, .csv or .md"),
        (["runs", "--output", "file/a.json"], "--output file/a.json: cannot be written"),
        (["runs", "--json", "--curves"], "add --output FILE"),
        (["runs", "--plot", "a.gif"], "--plot a.gif: give a file that ends in"),
        (["runs", "--project", "p"], "--project needs --wandb"),
        (["runs", "--push", "a.json"], "it takes no RUN"),
        (["--push", "a.json"], "--push a.json: cannot be read"),
        (["runs", "--reference", "z"], "--reference z: none of the runs"),
    ],
)
def test_a_mistake_is_one_line(runs, capsys, line, said):
    Path("empty").mkdir()
    Path("file").touch()
    assert main(["compare", *line]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_it_loads_no_torch(runs):
    """Nor wandb, as long as nothing is asked of it: tables, files, pictures and the terminal's curves do without."""
    script = """
import sys
from lightning_cv.cli.main import main
assert main(["compare", "runs", "--curves", "--plot", "a.png", "--output", "a.json"]) == 0
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"torch", "lightning", "torchvision", "torchmetrics", "timm", "wandb"}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
