"""`fit --folds K` trains K runs, goes on where it was stopped, and prints mean and spread."""

import json
import statistics
import subprocess
import sys

import pytest

from lightning_cv.cli import folds
from lightning_cv.cli.main import main
from lightning_cv.record.progress import FILE_NAME, read_progress
from tests.processes import fork, status_of

RECIPE = "digits_linear"
FAST = ["--trainer.max_epochs=2", "--trainer.logger=false", "--callbacks.media=null"]


@pytest.fixture
def forked(monkeypatch):
    """Every run is forked from this process, which has torch loaded, instead of a fresh interpreter."""
    started = []

    def train(words):
        started.append(words)
        return status_of(fork(lambda: main(["fit", *words])))

    monkeypatch.setattr(folds, "_train", train)
    return started


@pytest.mark.slow
def test_five_folds_are_five_runs_and_a_mean(forked, tmp_path, capfd):
    """row 18: K runs beside one another; the line of a metric is the mean ± deviation of what they recorded."""
    command = ["fit", RECIPE, "--folds", "3", "--runs-dir", str(tmp_path), *FAST]
    assert main(command) == 0
    printed = capfd.readouterr().out
    scores = []
    for fold in range(3):
        events = read_progress(tmp_path / f"{RECIPE}-3-folds" / f"fold-{fold}" / FILE_NAME)
        scores.append(events[-1]["metrics"]["val/accuracy"])
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    assert f"{mean:.4f} ± {deviation:.4f}" in printed
    assert len(forked) == 3
    assert main(command) == 0
    assert len(forked) == 3, "runs that have ended are not repeated"


def test_a_fold_that_fails_ends_it_and_the_same_command_goes_on(monkeypatch, tmp_path, capsys):
    """Its exit status is handed on; folds that have ended before are not run again."""
    statuses, started = iter([0, 5]), []

    def train(words):
        folder = next(word.removeprefix("--run-dir=") for word in words if word.startswith("--run-dir="))
        started.append(folder)
        status = next(statuses, 0)
        if status == 0:
            (tmp_path / folder).mkdir(parents=True)
            line = {"event": "end", "metrics": {"val/loss": 1.0, "train/loss": 2.0}, "status": "completed"}
            (tmp_path / folder / FILE_NAME).write_text(json.dumps(line) + "\n")
        return status

    monkeypatch.setattr(folds, "_train", train)
    command = ["fit", RECIPE, "--folds=3", "--runs-dir", str(tmp_path)]
    assert main(command) == 5
    assert "fold 1 of 3 did not end; go on with: lightning-cv fit digits_linear --folds=3" in capsys.readouterr().err
    assert main(command) == 0
    assert [folder[-1] for folder in started] == ["0", "1", "1", "2"]
    assert "val/loss  1.0000 ± 0.0000  (1.0000 1.0000 1.0000)" in capsys.readouterr().out


def test_the_runs_are_the_command_of_the_user_with_a_fold(monkeypatch, tmp_path):
    """Each gets the whole command line, its fold, and a folder of its own; the name is that of all folds."""
    seen = []
    monkeypatch.setattr(
        folds.subprocess, "run", lambda words, check: seen.append(words) or subprocess.CompletedProcess(words, 1)
    )
    main(["fit", RECIPE, "--folds", "4", "--name", "mine", "--runs-dir", str(tmp_path), "--seed=7", "--test"])
    (words,) = seen
    assert words[:4] == [sys.executable, "-m", "lightning_cv", "fit"]
    assert words[4:] == [
        RECIPE,
        "--runs-dir",
        str(tmp_path),
        "--seed=7",
        "--test",
        "--data.init_args.fold.of=4",
        "--data.init_args.fold.number=0",
        f"--run-dir={tmp_path}/mine-4-folds/fold-0",
        "--name=mine-4-folds",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "1"], "--folds 1: give a number of folds, 2 to 1000"),
        (["--folds=many"], "--folds many: give a number of folds"),
        (["--folds", "3", "--run-dir", "x"], "--folds and --run-dir exclude each other"),
        (["--folds", "3", "--data.init_args.fold.of=2"], "--folds sets data.init_args.fold itself"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(options, message, capsys):
    """Exit status 2, and nothing is started."""
    assert main(["fit", RECIPE, *options]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
