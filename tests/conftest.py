"""Settings that every test shares: few threads, no network, no account, no files outside the test's folder."""

import copy
import os
import re
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ["WANDB_SILENT"] = "true"
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import jsonargparse
import pytest
import torch

torch.set_num_threads(1)


# What a launcher of several processes tells each: a training that finds it waits for others.
OF_LAUNCHERS = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def forget_other_runs() -> None:
    """Unset for good what runs say to themselves, such as their seed, which changes what two processes do."""
    for name in [n for n in os.environ if n.startswith(("LIGHTNING_CV_", "PL_")) or n in OF_LAUNCHERS]:
        del os.environ[name]


forget_other_runs()

ROWS = re.compile(r"\brows? ([0-9]+(?:(?:, | and )[0-9]+)*)")
CITED = pytest.StashKey[set[int]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


def rows_cited(items: list[pytest.Item]) -> set[int]:
    """The catalogue rows that the docstrings of tests say they cover: `row 30`, `rows 31, 32`."""
    texts = {getattr(item, "function", item).__doc__ or "" for item in items}
    cited = [number for text in texts for found in ROWS.findall(text) for number in re.findall(r"[0-9]+", found)]
    return {int(number) for number in cited}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember what the tests that will run cite."""
    session.config.stash[CITED] = rows_cited(session.items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the process that prints the summary."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["rows"] = sorted(session.config.stash.get(CITED, set()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it; every worker has collected all tests."""
    node.config.stash[CITED] = set(getattr(node, "workeroutput", {}).get("rows", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many catalogue rows the tests of this run cover."""
    terminalreporter.write_line(f"catalogue rows covered: {len(config.stash.get(CITED, set()))}")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test works in its own empty folder, with fixed seeds and without the variables of other runs."""
    monkeypatch.chdir(tmp_path)
    forget_other_runs()
    torch.manual_seed(0)
    yield
    forget_other_runs()  # a fixture of the next module would find them


@pytest.fixture(autouse=True)
def own_parser_settings(monkeypatch):
    """What a recipe may import is set for the whole process; a test leaves it as it was."""
    keep_parser_settings(monkeypatch)


def keep_parser_settings(patch: pytest.MonkeyPatch) -> None:
    """Restore what the parser may import when `patch` ends."""
    settings = jsonargparse._common.parsing_settings
    for name, value in settings.items():
        patch.setitem(settings, name, copy.copy(value))


@pytest.fixture
def repository(request) -> "os.PathLike[str]":
    """The root of the checkout: where README.md, recipes/ and Makefile are."""
    return request.config.rootpath
