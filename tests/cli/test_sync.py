"""The verb that sends runs to W&B: what it says, and with which status it ends."""

import json
import os
import subprocess
import sys

import pytest
import wandb

from lightning_cv.cli import sync as verb
from lightning_cv.cli.main import main
from lightning_cv.tracking.sync import Outcome
from tests.tracking.runs import measure, train
from tests.tracking.server_stub import serving


@pytest.fixture(autouse=True)
def own_user(tmp_path_factory, monkeypatch):
    """Nobody is logged in."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CACHE_DIR", "NETRC", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


def test_a_dry_run_lists_everything_and_needs_neither_account_nor_network(tmp_path, capsys, monkeypatch):
    """Two parts, of which one is dead; `check_server` and `send` would raise. The rows are counted by hand."""
    monkeypatch.setattr(verb, "check_server", None)
    monkeypatch.setattr(verb, "send", None)
    train(tmp_path / "runs" / "demo" / "one", range(1, 6))
    measure(tmp_path / "runs" / "demo" / "one", range(1, 8))
    dead = tmp_path / "runs" / "demo" / "one" / "wandb" / "offline-run-20200101_000000-one"
    dead.mkdir()
    (dead / "run-one.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    assert main(["sync", "runs", "--dry-run"]) == 0
    first, gone, kept, unwritten = capsys.readouterr().out.splitlines()
    assert first.startswith("runs/demo/one to (your default entity)/digits: 1 segment, 7 rows, ")
    assert gone.endswith("20200101_000000-one: empty: killed before W&B wrote anything")
    assert ": 5 rows, " in kept
    assert unwritten == "  progress.jsonl: 2 rows that W&B's files lack"


def test_a_run_is_sent_and_its_line_says_what_and_where(tmp_path, capsys, monkeypatch):
    train(tmp_path / "runs" / "one", range(1, 4))
    train(tmp_path / "runs" / "two", range(1, 3))
    with serving() as server:
        for name, value in (("MODE", "online"), ("BASE_URL", server.url), ("API_KEY", "0" * 40)):
            monkeypatch.setenv(f"WANDB_{name}", value)
        assert main(["sync", "runs/*"]) == 0
        out = capsys.readouterr().out
        assert out.splitlines() == [
            f"runs/{name}: sent (1 segment to (your default entity)/digits)" for name in ("one", "two")
        ]
        assert {name: run.steps for name, run in server.runs.items()} == {"one": [1, 2, 3], "two": [1, 2]}
    assert main(["sync", "runs"]) == 0  # the server is gone, and not needed
    assert capsys.readouterr().out.splitlines() == ["runs/one: already sent", "runs/two: already sent"]


@pytest.mark.parametrize(
    ("outcome", "status", "line"),
    [
        (Outcome("sent", segments=2, rows=1200), 0, "sent (2 segments, 1,200 rows from progress.jsonl to "),
        (Outcome("still being written"), 0, "still being written"),
        (Outcome("nothing to send"), 0, "nothing to send"),
        (Outcome("failed", segments=1, reason="timed out"), 2, "failed (1 segment to "),
        (Outcome("unreadable"), 2, "unreadable"),
    ],
)
def test_the_exit_status_is_2_where_something_is_not_at_wandb(tmp_path, capsys, monkeypatch, outcome, status, line):
    train(tmp_path / "one", range(1, 3))
    monkeypatch.setattr(verb, "check_server", lambda: None)
    monkeypatch.setattr(verb, "send", lambda run: outcome)
    assert main(["sync", "one"]) == status
    out = capsys.readouterr().out
    assert out.startswith(f"one: {line}")
    assert outcome.reason in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "sync needs RUN: the folder of a run, or one with runs below it"),
        (["runs", "--dry"], "--dry is not an option of sync; did you mean --dry-run?"),
        (["nowhere"], "nowhere: no such folder; give the folder of a run, or one with runs below it"),
        (["."], ".: holds no W&B run; a run records one unless it has no tracker"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, line, said):
    assert main(["sync", *line]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_who_is_not_logged_in_is_told_so(tmp_path, capsys, monkeypatch):
    train(tmp_path / "one", range(1, 3))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert main(["sync", "one"]) == 2
    assert capsys.readouterr().err.startswith("error: nobody is logged in to W&B")


def test_help_and_a_dry_run_load_neither_torch_nor_wandb(tmp_path, repository):
    """Oracle: sys.modules of a fresh interpreter."""
    train(tmp_path / "one", range(1, 3))
    script = """
import json, sys
from lightning_cv.cli.main import main
assert main(["sync", "--help"]) == main(["sync", sys.argv[1], "--dry-run"]) == 0
print(json.dumps(sorted({"torch", "lightning", "wandb", "jsonargparse", "numpy"} & set(sys.modules))))
"""
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", script, tmp_path / "one"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
