"""Is a study found again by its folder, with all that it needs, and without its password?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import read_recipe
from lightning_cv.sweep.definition.file import read_sweep
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine import session
from lightning_cv.sweep.engine.results import StudyResults
from lightning_cv.sweep.engine.session import STORAGE_VARIABLE, begin_study, find_study, is_study, sweep_of_study
from lightning_cv.sweep.report.confirm import confirm_sweep
from lightning_cv.sweep.storage.base import Storage, open_storage
from tests.sweep.searches import LR, place_of, write_sweep
from tests.sweep.studies import finished

RUNS = Path("runs")
HEADER = "go on with: lightning-cv sweep runs/s"


def same_search(one: Sweep, other: Sweep) -> bool:
    """Whether two sweeps search the same, wherever their files are."""
    plain = {"recipe": "", "path": Path(), "fixed": {}, "composed": None}
    return dataclasses.replace(one, **plain) == dataclasses.replace(other, **plain) and (
        one.composed.values == other.composed.values
    )


@pytest.mark.parametrize("word", ["s", "runs/s", "runs/s/"])
def test_a_study_is_found_by_its_folder_and_by_its_name(word):
    """Oracle: the sweep file, which is gone by then, as its recipe would be if it were the user's."""
    path = write_sweep("s", trials=3, more="retries: 4\npick: last\npruner: {name: median}")
    place = place_of(path)
    expected = read_sweep(path)
    path.unlink()
    assert is_study(Path("runs/s"))
    found = find_study(word, RUNS)
    assert same_search(found.sweep, expected)
    assert (found.uid, found.folder.resolve()) == (place.uid, place.folder.resolve())
    assert HEADER in Path("runs/s/sweep.yaml").read_text()
    assert read_recipe(Path("runs/s/base.yaml")).values == expected.composed.values


def test_a_study_can_be_moved_and_keeps_its_name_that_of_its_folder():
    place_of(write_sweep("s", trials=3))
    Path("elsewhere").mkdir()
    Path("runs/s").rename("elsewhere/s")
    assert len(find_study("elsewhere/s", RUNS).results().trials) == 3


def test_a_study_goes_on_with_more_trials_than_were_written_down():
    place_of(write_sweep("s", trials=3))
    assert sweep_of_study("s", RUNS, trials=5).num_trials == 5
    assert sweep_of_study("s", RUNS).num_trials == 3


def test_each_of_its_own_options_in_a_space_is_written_down_and_read_back():
    """Also a choice of classes, and what depends on it."""
    more = """\
  model.init_args.network:
    choice:
      small: {class_path: lightning_cv.networks.classify.Mlp, init_args: {hidden: [16]}}
      resnet: {class_path: lightning_cv.networks.classify.SmallResNet, init_args: {width: 8}}
  model.init_args.network.init_args.width: {log_int: [4, 64], when: {model.init_args.network: resnet}}
"""
    path = write_sweep("s", trials=3, more=more)
    place_of(path)
    assert same_search(find_study("s", RUNS).sweep, read_sweep(path))


@pytest.mark.parametrize(
    ("word", "prepare", "said"),
    [
        ("nope", lambda: None, r"^nope: not the folder of a study, nor the name of one in runs$"),
        ("s", lambda: Path("runs/s/sweep.yaml").unlink(), r"^s: not the folder of a study"),
        ("s", lambda: Path("runs/s/base.yaml").unlink(), r"^s: not the folder of a study"),
        ("s", lambda: Path("runs/s/study.journal").unlink(), r"^runs/s/study\.journal: missing; the study's trials"),
        ("s", lambda: Path("runs/s/sweep.yaml").write_text("trials: 3"), r"^runs/s/sweep\.yaml:.* recipe: is missing"),
        ("s", lambda: Path("runs/s/base.yaml").write_text("trainer: [1"), r"^runs/s/sweep\.yaml.*base\.yaml|not YAML"),
    ],
)
def test_what_is_no_study_any_more_is_told_in_one_line(word, prepare, said):
    place_of(write_sweep("s", trials=3))
    prepare()
    with pytest.raises(UserError, match=said) as caught:
        find_study(word, RUNS)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told_in_one_line():
    RUNS.write_text("a file")
    with pytest.raises(UserError, match=r"^runs/s: cannot be made \(Not a directory\)$"):
        place_of(write_sweep("s", trials=3))


# A database with a password.


@pytest.fixture
def opened(monkeypatch) -> list[str | None]:
    """The URLs that are opened, each as a journal: it is not the database that is tested here."""
    urls: list[str | None] = []

    def instead(url: str | None, folder: Path) -> Storage:
        urls.append(url)
        return open_storage(None, folder)

    monkeypatch.setattr(session, "open_storage", instead)
    return urls


URL = "postgresql+psycopg://me:s3cret@host/db"


def test_the_password_is_asked_for_where_it_is_not_recorded(opened, monkeypatch):
    """By an option or a variable; the option wins."""
    begin_study(read_sweep(write_sweep("s", trials=3), storage=URL), RUNS)
    assert "s3cret" not in "".join(path.read_text() for path in RUNS.rglob("*") if path.is_file())
    with pytest.raises(
        UserError, match=rf"password of postgresql\+psycopg://me:\*\*\*@host/db is not .*{STORAGE_VARIABLE}"
    ):
        find_study("s", RUNS)
    find_study("s", RUNS, storage=URL)
    monkeypatch.setenv(STORAGE_VARIABLE, URL.replace("s3cret", "other"))
    find_study("s", RUNS)
    find_study("s", RUNS, storage=URL)
    assert opened == [URL, URL, URL.replace("s3cret", "other"), URL]


def test_a_url_without_a_password_is_recorded_and_used_again(opened):
    begin_study(read_sweep(write_sweep("s", trials=3), storage="postgresql://me@host/db"), RUNS)
    find_study("s", RUNS)
    assert opened == ["postgresql+psycopg://me@host/db"] * 2


def test_a_password_of_three_stars_is_one_that_is_not_known(opened):
    """Nobody has such a one, and a recorded URL looks like that."""
    begin_study(read_sweep(write_sweep("s", trials=3), storage=URL), RUNS)
    with pytest.raises(UserError, match="is not recorded"):
        sweep_of_study("s", RUNS, storage=URL.replace("s3cret", "***"))


def test_a_sweep_that_was_confirmed_is_a_study_like_another():
    """What it lists is read back: the same trials in the same order."""
    sweep = read_sweep(write_sweep("s", trials=3))
    found = StudyResults(sweep, tuple(finished(n, {LR: 10.0**-n}, 0.1 * n) for n in range(2, 5)))
    begun = begin_study(confirm_sweep(found, top=2, seeds=2), RUNS)
    again = find_study("s-confirm", RUNS)
    assert again.sweep.listed == begun.sweep.listed
    assert len(again.results().trials) == 4
