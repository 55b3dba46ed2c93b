"""The command line of sweeps: each action, what it leaves behind, and each mistake as one line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lightning_cv.cli.main import main
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.sweep.engine import execute as execute_module
from lightning_cv.sweep.engine import trial as trial_module
from tests.sweep.fake_program import value_of
from tests.sweep.searches import LR, ROOT, fake_words, write_sweep

TRIALS = 6


@pytest.fixture(autouse=True)
def fake_programs(monkeypatch):
    """Trials train the fake program; nothing goes to W&B."""
    monkeypatch.setattr(trial_module, "command_words", fake_words)
    monkeypatch.setattr(execute_module, "modules_of", lambda sweep, allow_code: [])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def searched(capsys) -> str:
    """A study with all its trials; what the command printed."""
    assert main(["sweep", str(write_sweep("mine", trials=TRIALS)), "--workers", "2"]) == 0
    return capsys.readouterr().out


def rows_of_report() -> list[dict[str, str]]:
    with Path("runs/mine/report/trials.csv").open() as file:
        return list(csv.DictReader(file))


def one_line(capsys, *words: str) -> str:
    """What a wrong command line says: one line, exit status 2."""
    assert main(["sweep", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_search_prints_its_table_and_writes_pictures_table_and_what_it_needs_to_go_on(searched):
    rows = rows_of_report()
    assert [int(row["number"]) for row in rows] == list(range(TRIALS))
    for row in rows:
        scores = [value_of(float(row[LR]), epochs) for epochs in range(1, 7)]
        assert float(row["val/accuracy"]) == pytest.approx(max(scores), rel=1e-12)
    best = max(rows, key=lambda row: float(row["val/accuracy"]))
    assert f"best: trial {best['number']}, val/accuracy" in searched
    for picture in ("history", "slices", "curves"):
        assert Path(f"runs/mine/report/{picture}.png").stat().st_size > 5000
    assert main(["sweep", "runs/mine"]) == 0, "its folder is enough to go on with it"


def test_a_study_goes_on_with_more_trials_and_refuses_another_sweep(searched, capsys):
    assert main(["sweep", "mine.yaml", "--trials", str(TRIALS + 2)]) == 0
    assert len(list(Path("runs/mine").glob("trial-*/trial.json"))) == TRIALS + 2
    capsys.readouterr()
    Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace("1.0e-4", "1.0e-5"))
    said = one_line(capsys, "mine.yaml")
    assert f"was begun with another sweep: space.{LR}.log_uniform was [0.0001, 0.1], is [1e-05, 0.1]" in said


def test_reports_go_to_files_and_to_the_terminal(searched, capsys):
    assert main(["sweep", "report", "mine", "--csv", "out/a.csv", "--json", "-"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert len(everything["trials"]) == TRIALS
    assert Path("out/a.csv").read_text() == Path("runs/mine/report/trials.csv").read_text()
    assert main(["sweep", "report", "runs/mine", "--pictures", "drawn"]) == 0
    assert "6 trials: 6 complete" in capsys.readouterr().out
    assert Path("drawn/history.png").exists()


def test_the_best_recipe_and_the_next_sweep_are_files_that_are_not_overwritten(searched, capsys):
    rows = rows_of_report()
    best = max(rows, key=lambda row: float(row["val/accuracy"]))
    assert main(["sweep", "best", "mine", "best.yaml"]) == 0
    recipe = compose([read_recipe(Path("best.yaml"))])
    assert recipe.get(LR) == float(best[LR])
    assert main(["sweep", "refine", "mine", "next.yaml", "--trials", "4"]) == 0
    low, high = yaml.safe_load(Path("next.yaml").read_text())["space"][LR]["log_uniform"]
    assert 1e-4 <= float(low) <= float(best[LR]) <= float(high) <= 0.1
    capsys.readouterr()
    for action, file in (("best", "best.yaml"), ("refine", "next.yaml")):
        assert one_line(capsys, action, "mine", file) == f"error: {file} exists; --force overwrites it"
        assert main(["sweep", action, "mine", file, "--force"]) == 0
    assert main(["sweep", "next.yaml"]) == 0, "the next sweep can be searched as it is"


def test_confirm_trains_the_best_over_seeds_that_the_search_has_not_seen(searched, capsys):
    """Oracle: the fake program knows no seed, so each setting scores what it did before, without any spread."""
    rows = rows_of_report()
    ranked = sorted(rows, key=lambda row: -float(row["val/accuracy"]))[:2]
    assert main(["sweep", "confirm", "mine", "--top", "2", "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    for row in ranked:
        assert f"{float(row['val/accuracy']):.4g} ± 0" in said
    notes = [json.loads(path.read_text()) for path in sorted(Path("runs/mine-confirm").glob("*/trial.json"))]
    assert [note["values"]["seed_everything"] for note in notes] == [1, 1, 2, 2]
    assert [note["values"][LR] for note in notes] == [float(row[LR]) for row in ranked] * 2
    assert main(["sweep", "confirm", "mine", "--top", "2", "--seeds", "3"]) == 0
    assert len(list(Path("runs/mine-confirm").glob("*/trial.json"))) == 6, "more seeds only add trials"


def test_export_to_wandb_needs_no_search(capsys):
    path = write_sweep("mine", trials=TRIALS)
    assert main(["sweep", str(path), "--export-wandb", "-"]) == 0
    exported = yaml.safe_load(capsys.readouterr().out)
    assert exported["parameters"][LR] == {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1}
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "neither a file nor a shipped sweep"),
        (["repot", "mine"], "repot is not an action of sweep; did you mean report?"),
        (["mine.yaml", "--worker", "2"], "--worker is not an option of sweep; did you mean --workers?"),
        (["mine.yaml", "--workers", "0"], "allowed: a whole number from 1"),
        (["mine.yaml", "--workers"], "--workers: expected one argument"),
        (["mine.yaml", "more"], "more is one word too many"),
        (["mine.yaml", "--trials", "x"], "'x' given, allowed: a whole number from 1"),
        (["mine.yaml", "--name", "a/b"], "needed: a name that can be a folder's"),
        (["mine.yaml", "--storage", "nosql://x"], "needed: a database such as postgresql://"),
        (["mine.yaml", "--storage", "sqlite:///x.db", "--workers", "2"], "SQLite takes one worker only"),
        (["report"], "the following arguments are required: STUDY"),
        (["report", "nope"], "nope: not the folder of a study, nor the name of one in runs"),
        (["report", "nope", "--csv", "-", "--json", "-"], "would both write to the terminal"),
        (["confirm", "nope"], "not the folder of a study"),
        (["refine", "nope"], "not the folder of a study"),
        (["best", "nope"], "not the folder of a study"),
        (["best", "nope", "--trial", "x"], "invalid int value: 'x'"),
        (["list", "--all"], "--all is not an option of sweep list"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    write_sweep("mine", trials=TRIALS)
    assert said in one_line(capsys, *words)


def test_a_password_is_told_nowhere(capsys):
    path = write_sweep("mine", trials=TRIALS)
    said = one_line(capsys, str(path), "--storage", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert "postgresql+psycopg://me:***@127.0.0.1:1/db: cannot be used" in said
    assert "s3cret" not in said
    assert not [file for file in Path("runs").rglob("*") if file.is_file() and "s3cret" in file.read_text()]


def test_help_of_each_action_loads_nothing_heavy(repository):
    program = (
        "import sys\nfrom lightning_cv.cli.main import main\n"
        "for action in ([], ['report'], ['confirm'], ['refine'], ['best'], ['list'], ['x.yaml']):\n"
        "    assert main(['sweep', *action, '--help']) == 0\n"
        "heavy = {'torch', 'lightning', 'optuna', 'matplotlib', 'wandb', 'scipy', 'sqlalchemy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: lightning-cv sweep") >= 7


def test_list_names_every_shipped_sweep(capsys, repository):
    assert main(["sweep", "list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == sorted(path.stem for path in (repository / "sweeps").glob("*.yaml"))
