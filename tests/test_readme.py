"""The README's commands do what it says, as written."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from tests.processes import fork, status_of

# `make test` is how this file is run; it must not run itself.
NOT_AGAIN = {"make test"}


def commands(text: str) -> list[str]:
    """Every line of the README's ```sh blocks, continued lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [command for line in lines if line and not line.startswith("#") for command in unrolled(line)]


def unrolled(line: str) -> list[str]:
    """The commands of a loop of the shell, `for name in values; do ...; done`; any other line is one."""
    loop = re.fullmatch(r"for (\w+) in ([^;]+); do (.+); done", line)
    return [loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()] if loop else [line]


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
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PL_", "WANDB_", "OMP_"))}
    environ["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = shlex.split(command)
    if words[0] == "lightning-cv" and not set(command) & set("|&;<>$`*?"):
        return run_warm(words, checkout, environ)
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


def run_warm(words: list[str], checkout: Path, environ: dict[str, str]) -> subprocess.CompletedProcess:
    """The same by a fork of this process, which has torch already; the installed program is what `make demo` runs."""
    outputs = [checkout.parent / name for name in ("stdout", "stderr")]

    def program() -> int:
        for number, path in enumerate(outputs, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115, PTH123
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(checkout)
        sys.argv = words
        return main(words[1:])

    status = status_of(fork(program))
    return subprocess.CompletedProcess(words, status, *(path.read_text() for path in outputs))


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
