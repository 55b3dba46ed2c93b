"""Does a real PostgreSQL lose nothing, and does its password stay where the user put it?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from lightning_cv.errors import RECIPE, UserError
from lightning_cv.sweep.engine import execute as execute_module
from lightning_cv.sweep.engine import trial as trial_module
from lightning_cv.sweep.engine.session import STORAGE_VARIABLE
from tests.processes import fork
from tests.sweep.fake_program import EPOCHS, TWICE, curve_of
from tests.sweep.postgres import PASSWORD
from tests.sweep.postgres import postgres as postgres
from tests.sweep.searches import LR, ROOT, fake_words, forked, place_of, write_sweep
from tests.sweep.watching import end_of, folder_of, lines, pids, until
from tests.sweep.watching import no_leftovers as no_leftovers

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres) -> str:
    """Of an empty database."""
    return postgres.new_database()


def assert_complete_once(place, epochs: int = EPOCHS) -> None:
    """Each trial was trained once, by one process, and has the scores of its values."""
    trials = place.results().trials
    assert [trial.number for trial in trials] == list(range(place.sweep.num_trials))
    assert {trial.state for trial in trials} == {"complete"}
    for trial in trials:
        curve = curve_of(trial.values[LR], epochs)
        assert (trial.scores, trial.reported) == ((max(curve),), dict(enumerate(curve, start=1)))
        assert len(pids(place, trial.number)) == 1
        assert not (folder_of(place, trial.number) / TWICE).exists()


def test_processes_that_make_the_tables_at_once_make_one_study(url):
    """Four processes find an empty database at the same moment; all of them begin."""
    path = write_sweep("first", trials=10)
    read, write = os.pipe()

    def begin() -> None:
        os.close(write)
        os.read(read, 1)  # all start when the other end is closed
        place_of(path, storage=url)

    starting = [fork(begin) for _ in range(4)]
    os.close(write)
    os.close(read)
    assert [end_of(pid) for pid in starting] == [0] * 4
    assert len(place_of(path, storage=url).frozen()) == 10


def test_a_restart_of_the_server_costs_a_sweep_nothing(postgres, url):
    """It is stopped at once, as in a crash, while trials report, and comes back when those have ended meanwhile."""
    path = write_sweep("restart", trials=10, epochs=12)
    place = place_of(path, storage=url)
    parent = fork(forked(path, 2, storage=url))
    until(lambda: sum(trial.state.is_finished() for trial in place.frozen()) >= 3)
    postgres.control("stop", "-m", "immediate")
    folders = [folder_of(place, number) for number in range(10)]

    def running() -> int:
        return sum(bool(lines(folder / "progress.jsonl")) and not _has_ended(folder) for folder in folders)

    until(lambda: running() == 0)
    postgres.control("start")
    assert end_of(parent) == 0
    assert_complete_once(place_of(path, storage=url), epochs=12)


def test_restarts_while_trials_are_taken_cost_nothing_either(postgres, url):
    """Five restarts, each after another two trials."""
    path = write_sweep("restarts", trials=14)
    place = place_of(path, storage=url)
    parents = [fork(forked(path, 2, storage=url)) for _ in range(2)]
    folders = [folder_of(place, number) for number in range(14)]
    for number in range(1, 6):
        until(lambda number=number: sum(map(_has_ended, folders)) >= 2 * number)
        postgres.control("restart", "-m", "immediate")
    assert [end_of(parent) for parent in parents] == [0, 0]
    assert_complete_once(place_of(path, storage=url))


def _has_ended(folder: Path) -> bool:
    return any('"event": "end"' in line for line in lines(folder / "progress.jsonl"))


def in_terminal(words: list[str], output: Path) -> int:
    """The status of a command that runs trials of the fake program; its output goes to a file."""

    def program() -> int:
        sys.stdout = sys.stderr = output.open("w")
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        sys.argv = ["lightning-cv", *words]
        trial_module.command_words = fake_words
        execute_module.modules_of = lambda sweep, allow_code: ["tests.sweep.fake_program"]
        os.environ["PYTHONPATH"] = str(ROOT)
        return main(words)

    return end_of(fork(program))


def leaks(folder: Path) -> list[tuple[str, bytes]]:
    """Files that hold the password, or a part of it that a careless reader of URLs would take for something else."""
    words = [PASSWORD.encode(), b"Ticket", b"To%40Ride", b"To@Ride", b"@Ride"]
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "given.yaml"]
    return [(str(path), word) for path in files for word in words if word in path.read_bytes()]


@pytest.mark.parametrize("given", ["option", "file"])
def test_the_password_is_written_nowhere(url, given, monkeypatch):
    """Not in the study's folder, nor in the runs, nor in W&B's files, nor in what is printed."""
    write_sweep("given", trials=3, more=f"storage: {url if given == 'file' else 'postgresql://x@127.0.0.1/y'}")
    option = [] if given == "file" else ["--storage", url]
    assert in_terminal(["sweep", "given.yaml", "--workers", "2", *option], Path("output.txt")) == 0
    assert "3 complete" in Path("output.txt").read_text()
    assert list(Path("runs/given/.study").rglob("*.wandb"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert in_terminal(["sweep", "report", "given"], Path("refused.txt")) == RECIPE
    [said] = lines(Path("refused.txt"))
    assert "password" in said
    assert STORAGE_VARIABLE in said
    if given == "file":
        monkeypatch.setenv(STORAGE_VARIABLE, url)
    assert in_terminal(["sweep", "runs/given", "--trials", "4", *option], Path("more.txt")) == 0
    assert "4 complete" in Path("more.txt").read_text()
    assert Path("runs/given/sweep.yaml").read_text().count("postgresql") == 1
    assert not leaks(Path.cwd())


@pytest.mark.parametrize("wrong", ["password", "port", "database"])
def test_a_server_that_cannot_be_used_is_one_line_without_the_password(url, wrong):
    """The line names the server, not how to get in."""
    base = url.rpartition("/")[0]
    given = {
        "password": url.replace("Ticket", "Tocket"),
        "port": f"{base.rpartition(':')[0]}:1/postgres",
        "database": f"{base}/nowhere",
    }[wrong]
    path = write_sweep("refused", trials=1)
    with pytest.raises(UserError, match=r"^storage postgresql.*://postgres:\*\*\*@127\.0\.0\.1:") as caught:
        place_of(path, storage=given)
    said = str(caught.value)
    assert "\n" not in said
    assert "Ride" not in said
    assert "cket" not in said
