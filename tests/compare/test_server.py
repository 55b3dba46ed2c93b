"""Are runs read from a W&B server, and views saved there, within a bound and in one line where it fails?"""

import json
import math
import socket
from pathlib import Path

import pytest
import wandb

from lightning_cv.cli.main import main
from lightning_cv.compare import server
from lightning_cv.compare.comparison import compare
from lightning_cv.compare.folder import read_folder
from lightning_cv.compare.run import WandbPath
from lightning_cv.compare.server import read_server
from lightning_cv.compare.view import describe, push, save, to_workspace
from lightning_cv.errors import UserError
from tests.compare.maker import history, make_run, recipe
from tests.compare.wandb_server import CONFIG, wandb_server

# wandb-workspaces is written in the style of an older pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

R1 = WandbPath("team", "digits", "r1")


@pytest.fixture(autouse=True)
def own_user(tmp_path, monkeypatch):
    """Nobody is logged in, home is empty, and no W&B service is shared between tests."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


def log_in(monkeypatch, url):
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)


def two_runs():
    """Two settings with the same seed."""
    one = make_run("runs/digits/a", history([0.5, 0.7]))
    two = make_run("runs/digits/b", history([0.6, 0.8]), recipe(model__init_args__optimizer__init_args__lr=0.1))
    return compare([read_folder(path) for path in (one, two)])


def test_a_run_is_read_from_the_server(monkeypatch):
    """Oracle: the rows that the server holds."""
    with wandb_server() as (url, _):
        log_in(monkeypatch, url)
        run = read_server(R1)
    assert (run.source, run.name, run.status, run.seed) == ("team/digits/r1", "first", "completed", 3)
    assert (run.monitor, run.mode, run.steps, run.epochs, run.time_s) == ("val/accuracy", "max", 29, 3, 4.0)
    assert run.recipe == CONFIG
    curve = run.curves["val/accuracy"]
    assert list(curve.steps) == [9, 19, 29]
    assert [curve.values[0], curve.values[2]] == [0.5, 0.75]
    assert math.isnan(curve.values[1])


@pytest.mark.parametrize(
    ("state", "status"), [("running", "unfinished"), ("crashed", "failed"), ("finished", "completed")]
)
def test_the_servers_state_is_the_status(monkeypatch, state, status):
    with wandb_server(state=state) as (url, _):
        log_in(monkeypatch, url)
        assert read_server(R1).status == status


def test_the_verb_compares_a_run_here_with_one_there(monkeypatch, capsys):
    make_run("runs/digits/a")
    with wandb_server() as (url, _):
        log_in(monkeypatch, url)
        assert main(["compare", "runs/digits/a", "team/digits/r1", "--json", "--metric", "val/accuracy"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["facts"]["val/accuracy:best"] for run in found["runs"]] == [0.7, 0.75]


def test_a_run_that_is_not_there_is_one_line(monkeypatch, capsys):
    with wandb_server() as (url, _):
        log_in(monkeypatch, url)
        assert main(["compare", "team/digits/other"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: team/digits/other: neither a folder here nor a run that W&B gives")
    assert error.count("\n") == 1


def test_where_nobody_is_logged_in_it_is_one_line_that_says_what_to_do():
    with pytest.raises(UserError, match=r"team/digits/r1: nobody is logged in to W&B: run `wandb login`"):
        read_server(R1)


def test_a_server_that_does_not_answer_is_left_at_the_bound(monkeypatch):
    """It takes the connection and never says a word."""
    monkeypatch.setattr(server, "ANSWER_WITHIN_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        log_in(monkeypatch, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(UserError, match=r"team/digits/r1: W&B does not answer within 1 s"):
            read_server(R1)


def test_a_view_names_the_runs_the_curves_and_the_settings_that_differ():
    spec = describe(two_runs(), None, "step")
    lr = "model.init_args.optimizer.init_args.lr"
    assert spec["runs"] == ["a", "b"]
    assert (spec["entity"], spec["project"], spec["x"]) == (None, "digits", "trainer/global_step")
    assert spec["metrics"] == [{"name": "val/accuracy", "mode": "max"}]
    assert spec["settings"] == spec["group_by"] == [lr]


def test_the_seed_is_shown_and_not_grouped_by():
    runs = [read_folder(make_run("a")), read_folder(make_run("b", values=recipe(seed_everything=1)))]
    spec = describe(compare(runs), "team/else", "time")
    assert (spec["entity"], spec["project"]) == ("team", "else")
    assert (spec["settings"], spec["group_by"]) == (["seed_everything"], [])


def test_the_view_in_the_terms_of_wandb_filters_groups_and_plots():
    """Oracle: the keys that W&B's own model of a view has; a setting is wrapped in `value` there."""
    workspace = to_workspace({**describe(two_runs(), None, "step"), "entity": "team"})
    text = json.loads(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    (runs,) = text["section"]["runSets"]
    (chosen,) = runs["filters"]["filters"]
    assert (chosen["key"]["name"], chosen["op"], chosen["value"]) == ("name", "IN", ["a", "b"])
    assert [group["name"] for group in runs["grouping"]] == ["model.value.init_args.optimizer.init_args.lr"]
    assert "config:model.value.init_args.optimizer.init_args.lr" in runs["runFeed"]["columnPinned"]
    (panel,) = text["section"]["panelBankConfig"]["sections"][0]["panels"]
    assert panel["config"]["metrics"] == ["val/accuracy"]
    assert panel["config"]["xAxis"] == "trainer/global_step"


def test_a_view_is_saved_on_the_server(monkeypatch):
    comparison = two_runs()
    with wandb_server() as (url, saved):
        log_in(monkeypatch, url)
        said = save(comparison, None, "step")
        assert said == f"saved the view in W&B: {url}/team/digits?nw=abc"
    assert (saved[0]["entityName"], saved[0]["projectName"]) == ("team", "digits")
    assert '"val/accuracy"' in saved[0]["spec"]
    assert not Path("compare-view.json").exists()


def test_without_a_login_the_view_is_a_file_that_can_be_pushed_later(monkeypatch):
    said = save(two_runs(), None, "step")
    assert "nobody is logged in" in said
    assert "lightning-cv compare --push compare-view.json" in said
    with wandb_server() as (url, saved):
        log_in(monkeypatch, url)
        assert main(["compare", "--push", "compare-view.json"]) == 0
    assert saved[0]["projectName"] == "digits"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read (No such file"),
        ("{", "cannot be read (not JSON)"),
        ("{}", "not a view that lightning-cv"),
    ],
)
def test_a_file_that_is_no_view_is_refused(text, said):
    if text is not None:
        Path("view.json").write_text(text)
    with pytest.raises(UserError) as error:
        push(Path("view.json"))
    assert f"--push view.json: {said}" in str(error.value)


def test_runs_of_two_projects_or_of_none_make_no_view_unless_it_is_said_where():
    other = recipe(trainer__logger__init_args__project="elsewhere")
    runs = [read_folder(make_run("a")), read_folder(make_run("b", values=other))]
    with pytest.raises(UserError, match=r"several projects \(digits, elsewhere\)"):
        describe(compare(runs), None, "step")
    assert describe(compare(runs), "mine", "step")["project"] == "mine"
    with pytest.raises(UserError, match="no run of these is recorded in W&B"):
        describe(compare([read_folder(make_run("c", values=recipe(trainer__logger=False)))]), None, "step")
    with pytest.raises(UserError, match="--project a/b/c: give PROJECT or ENTITY/PROJECT"):
        describe(compare(runs), "a/b/c", "step")
