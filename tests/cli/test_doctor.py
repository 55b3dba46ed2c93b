"""The verb that looks at the machine: what it prints, how it ends, and that this machine is judged right."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torchvision

from lightning_cv.cli import doctor as verb
from lightning_cv.cli import main as front
from lightning_cv.cli.main import main
from lightning_cv.doctor.rank_report import RankReport, Training, Transfer
from lightning_cv.errors import UserError
from tests.doctor.machines import LAPTOP, gpu_node

GOOD = RankReport(
    backend="gloo",
    num_ranks=2,
    hosts="here (0-1)",
    transfers=(Transfer(1 << 20, 0.001, 2),),
    training=Training(steps=20, first_loss=1.4, last_loss=1.2, time_s=0.1),
)


@pytest.fixture
def machine(monkeypatch):
    """Let the verb find a certain machine, and let ranks come to a certain report."""

    def put(facts, report=None):
        monkeypatch.setattr(verb, "gather", lambda runs_dir, timeout_s: facts)
        monkeypatch.setattr(verb, "run_here", lambda number, **how: report)

    monkeypatch.setitem(front.VERBS, "doctor", ("lightning_cv.cli.doctor", "look at this machine"))
    return put


def test_a_sound_machine_ends_with_status_0(machine, capsys):
    machine(LAPTOP)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       Python")
    assert lines[-1] == "nothing is broken"


def test_a_warning_is_no_failure_and_something_broken_is_status_5(machine, capsys):
    machine(replace(LAPTOP, shared_memory=(64 << 20, 64 << 20)))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is broken, 1 warning"
    machine(replace(LAPTOP, shared_memory=None))
    assert main(["doctor", "--json"]) == 5
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "broken"
    (broken,) = [check for check in data["checks"] if check["status"] == "broken"]
    assert broken["check"] == "shared memory"
    assert "--shm-size=8g" in broken["mend"]


def test_what_processes_did_together_is_part_of_the_table(machine, capsys):
    machine(LAPTOP, GOOD)
    assert main(["doctor", "--processes", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 ranks over gloo: here (0-1)" in out
    assert "all-reduce over 2 ranks" in out
    machine(
        LAPTOP, RankReport(backend="gloo", num_ranks=2, cause="rank 1 was killed by SIGKILL", mend="dmesg says why")
    )
    assert main(["doctor", "--processes", "2", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["ranks"]["cause"] == "rank 1 was killed by SIGKILL"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--jsn"], "--jsn is not an option of doctor; did you mean --json?"),
        (
            ["runs"],
            "runs is not an option of doctor; allowed: --cpu, --json, --nodes, --processes, --runs-dir, --timeout",
        ),
        (["--processes", "0"], "doctor: argument --processes: '0' given, allowed: a whole number from 1"),
        (["--processes", "2", "--nodes"], "doctor: argument --nodes: not allowed with argument --processes"),
        (["--timeout", "soon"], "doctor: argument --timeout: 'soon' given, allowed: seconds from 1 to 86400"),
        (["--cpu"], "--cpu needs --processes N or --nodes"),
        (["--processes", "9"], "--processes 9: this machine has 8 CPU cores"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(machine, capsys, line, said):
    machine(LAPTOP)
    assert main(["doctor", *line]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_more_processes_than_gpus_are_refused_unless_they_use_the_cpu(machine, capsys):
    machine(gpu_node(4), GOOD)
    with pytest.raises(UserError, match="--processes 5: this machine has 4 GPUs; --cpu lets them work on the CPU"):
        verb.run(["--processes", "5"])
    assert verb.run(["--processes", "4"]) == verb.run(["--processes", "5", "--cpu"]) == 0


def test_nodes_without_a_launcher_says_how_to_launch(machine, capsys, monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert main(["doctor", "--nodes"]) == 2
    assert "srun lightning-cv doctor --nodes" in capsys.readouterr().err


def test_help_loads_nothing_heavy(repository):
    """Oracle: sys.modules of a fresh interpreter."""
    script = """
import sys
from lightning_cv.cli.doctor import run
assert run(["--help"]) == 0
print("heavy:", sorted({"torch", "lightning", "wandb", "numpy", "packaging", "rich", "optuna"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: lightning-cv doctor")
    assert done.stdout.splitlines()[-1] == "heavy: []"


REAL = """
import sys
from lightning_cv.cli.doctor import run
status = run(sys.argv[1:])
print(status, sorted({"torch", "lightning", "wandb"} & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.slow
def test_this_machine_is_judged_as_python_and_torch_themselves_would_and_nothing_of_it_is_broken(tmp_path, repository):
    """Oracle: what torch, the operating system and this very process say; doctor's own process loads no torch."""
    environ = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", REAL, "--json", "--timeout", "600", "--runs-dir", str(tmp_path / "runs")]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "0 []", done.stdout + done.stderr
    data = json.loads(done.stdout)
    checks = {check["check"]: check for check in data["checks"]}
    assert data["status"] != "broken"
    assert checks["Python"]["found"].startswith(platform.python_version())
    assert checks["torch"]["found"].startswith(torch.__version__)
    assert checks["torchvision"]["found"] == f"{torchvision.__version__}, its operators run"
    assert checks["W&B"]["status"] == "note"  # the tests set WANDB_MODE=offline
    devices = torch.cuda.device_count()
    assert checks["devices"]["found"].startswith(f"{devices} × " if devices else "no GPU")
    assert checks["cores"]["found"].split()[0].isdecimal()
    assert int(checks["cores"]["found"].split()[0]) <= len(os.sched_getaffinity(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ranks_that_torchrun_starts_work_together_and_the_first_one_tells(tmp_path, repository):
    """Through torch's own launcher; one answer on stdout, with this machine in it once."""
    (tmp_path / "ask.py").write_text(
        "import sys\nfrom lightning_cv.cli.doctor import run\nsys.exit(run(sys.argv[1:]))\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "ask.py"]
    command = [*launcher, "--nodes", "--cpu", "--json", "--timeout", "600"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    data = json.loads(done.stdout)
    assert (data["ranks"]["num_ranks"], data["ranks"]["cause"]) == (2, "")
    assert [machine["torch"] for machine in data["machines"]] == [torch.__version__]
    assert {"Python", "ranks", "all-reduce", "training"} <= {check["check"] for check in data["checks"]}
