"""`lightning-cv recipes` lists, shows and copies shipped recipes."""

from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from lightning_cv.recipe.shipped import find, shipped


def refusal(capsys, *line: str) -> str:
    assert main(line) == 2
    return capsys.readouterr().err


def test_the_list_has_a_line_for_every_file(capsys, repository):
    """The oracle is the folder itself: one line a file, under its task, with the header's first line."""
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = sorted((repository / "recipes").glob("*/*.yaml"))
    assert len([line for line in lines if line.startswith("  ")]) == len(files)
    assert [line for line in lines if not line.startswith("  ")] == sorted({path.parent.name for path in files})
    for path in files:
        summary = path.read_text().splitlines()[0].removeprefix("# ")
        assert any(line.split(maxsplit=1) == [path.stem, summary] for line in lines)
    columns = {line.index(recipe.summary) for recipe in shipped() for line in lines if recipe.summary in line}
    assert len(columns) == 1


def test_show_prints_the_file(capsys):
    assert main(["recipes", "show", "digits_resnet"]) == 0
    assert capsys.readouterr().out == find("digits_resnet").read_text()


def test_copy_starts_ones_own_and_says_how_to_run_it(capsys):
    original = find("digits_resnet").read_text()
    for destination, written in (
        ("own.yaml", "own.yaml"),
        ("new/", "new/digits_resnet.yaml"),
        ("a/b.yaml", "a/b.yaml"),
    ):
        assert main(["recipes", "copy", "digits_resnet", destination]) == 0
        assert Path(written).read_text() == original
        assert capsys.readouterr().out.endswith(f"run it: lightning-cv fit {written}\n")
    assert main(["recipes", "copy", "digits_resnet", "new", "--force"]) == 0
    assert not Path("new/new").exists()


def test_copy_overwrites_only_when_forced(capsys):
    Path("own.yaml").write_text("mine\n")
    assert refusal(capsys, "recipes", "copy", "digits_resnet", "own.yaml") == (
        "error: own.yaml exists; --force overwrites it\n"
    )
    assert Path("own.yaml").read_text() == "mine\n"
    assert main(["recipes", "copy", "digits_resnet", "own.yaml", "--force"]) == 0
    assert Path("own.yaml").read_text() != "mine\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["show"], "recipes show takes NAME, got nothing"),
        (["copy", "digits_resnet"], "recipes copy takes NAME DEST, got digits_resnet"),
        (["shw", "x"], "recipes has no shw; did you mean show?"),
        (["show", "digits_resnt"], "did you mean digits_resnet? see lightning-cv recipes"),
        (["show", "x", "--force"], "--force is not an option of recipes show"),
        (["copy", "digits_resnet", "x", "--forc"], "--forc is not an option of recipes copy; did you mean --force?"),
        (["copy", "digits_resnet", "file/x.yaml"], "file/x.yaml: cannot be written"),
    ],
)
def test_a_mistake_is_one_line(capsys, line, said):
    Path("file").touch()
    error = refusal(capsys, "recipes", *line)
    assert said in error
    assert error.count("\n") == 1
