"""Do the words of a command line find every run once?"""

import shutil
from pathlib import Path

import pytest

from lightning_cv.compare.find import find_places
from lightning_cv.compare.server import wandb_path
from lightning_cv.errors import UserError
from tests.compare.maker import make_run


def found(*words):
    return [str(place.folder or place.segments or place.server) for place in find_places(words)]


@pytest.fixture
def runs():
    for name in ("a/1", "a/2", "b/3"):
        make_run(f"runs/{name}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["runs/a/2", "runs/a/1"], ["runs/a/2", "runs/a/1"]),
        (["runs"], ["runs/a/1", "runs/a/2", "runs/b/3"]),
        (["runs/a/"], ["runs/a/1", "runs/a/2"]),
        (["runs/*/*"], ["runs/a/1", "runs/a/2", "runs/b/3"]),
        (["runs/**/3"], ["runs/b/3"]),
        (["runs/a/1/progress.jsonl"], ["runs/a/1"]),
        (["runs/a/2", "runs", "./runs/a/2/"], ["runs/a/2", "runs/a/1", "runs/b/3"]),
    ],
)
def test_words_name_runs_folders_of_runs_patterns_and_files(runs, words, expected):
    assert found(*words) == expected


def test_what_a_run_holds_is_the_run_itself(runs):
    """Its checkpoints, and the W&B directories that belong to it."""
    part = Path("runs/a/1/wandb/offline-run-20260101_000000-1")
    part.mkdir(parents=True)
    (part / "run-1.wandb").touch()
    (Path("runs/a/1/checkpoints")).mkdir()
    (Path("runs/a/1/checkpoints/last.ckpt")).touch()
    for word in (part, part / "run-1.wandb", "runs/a/1/wandb", "runs/a/1/checkpoints/last.ckpt"):
        assert [Path(path).resolve() for path in found(str(word))] == [Path("runs/a/1").resolve()]
    assert found("runs/a/1", str(part)) == ["runs/a/1"]


def test_a_sweep_that_keeps_its_recipe_above_its_runs_is_its_runs(runs):
    shutil.copy("runs/a/1/recipe.yaml", "runs/recipe.yaml")
    assert found("runs") == ["runs/a/1", "runs/a/2", "runs/b/3"]


def test_a_run_that_was_killed_before_it_wrote_more_than_its_recipe_is_one(runs):
    for name in ("progress.jsonl", "provenance.json"):
        Path("runs/a/1", name).unlink()
    assert found("runs/a") == ["runs/a/1", "runs/a/2"]
    assert found("runs/a/1") == ["runs/a/1"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("empty", "empty: no run in this folder or below it"),
        ("nowhere", "nowhere: no such folder, and no W&B run (entity/project/run)"),
        ("runs/a/9", "runs/a/9: no such folder"),
        ("none*", "none*: nothing matches it"),
        ("emp*", "emp*: no run in what matches it"),
        ("a/b/c/d", "a/b/c/d: no such folder"),
    ],
)
def test_what_names_no_run_is_refused_by_name(runs, word, said):
    Path("empty").mkdir()
    with pytest.raises(UserError) as error:
        find_places(["runs/a/1", word])
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    "text", ["team/digits/r1", "https://wandb.ai/team/digits/runs/r1", "http://localhost:8080/team/digits/runs/r1?nw=x"]
)
def test_runs_on_a_server_are_named_by_path_or_address(text):
    path = wandb_path(text)
    assert (path.entity, path.project, path.run_id) == ("team", "digits", "r1")
    assert [place.server for place in find_places([text, text])] == [path]
