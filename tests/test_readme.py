"""The README's commands do what it says, as written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# `make test` is how this file is run; it must not run itself.
NOT_AGAIN = {"make test"}


def commands(text: str) -> list[str]:
    """Every line of the README's ```sh blocks, continued lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def checkout(request, tmp_path_factory) -> Path:
    """A copy of the checkout that shares this environment, so that nothing is written into the original."""
    root = request.config.rootpath
    copy = tmp_path_factory.mktemp("readme") / "lightning_cv"
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "wandb", "__pycache__", ".*_cache")
    shutil.copytree(root, copy, ignore=ignored)
    environment = Path(sys.prefix)
    (copy / ".venv").symlink_to(environment)
    (environment / ".installed").touch()
    return copy


def run(command: str, checkout: Path) -> subprocess.CompletedProcess:
    """Run one command as a user would, with the environment's programs on the path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PL_", "WANDB_"))}
    environ |= {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "2"}
    # No prompt and no display: what a cluster job has.
    return subprocess.run(  # noqa: S602 - the README's own text
        command,
        check=False,
        shell=True,
        cwd=checkout,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_ci_runs_the_readmes_test_command(repository):
    """What the README calls the test command is what CI calls, and nothing else."""
    assert "make test" in commands((repository / "README.md").read_text())
    lines = (repository / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make test"]


@pytest.mark.slow
def test_every_command_of_the_readme_succeeds(checkout):
    """In the order of the README, in one folder, each command ends with status 0; the demo shows its result."""
    outputs = {}
    for command in commands((checkout / "README.md").read_text()):
        if command in NOT_AGAIN:
            continue
        done = run(command, checkout)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        outputs[command] = done.stdout
    demo = outputs["make demo"]
    accuracy = float(re.search(r"^test\s+accuracy (\d\.\d+)", demo, flags=re.MULTILINE)[1])
    assert accuracy >= 0.98
    for label in ("run", "look", "sync"):
        assert re.search(rf"^{label}\s+\S", demo, flags=re.MULTILINE), demo
    assert (checkout / "runs/mine/predictions.csv").read_text().count("\n") > 100
