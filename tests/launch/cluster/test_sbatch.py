"""Does a batch script start exactly the command that was meant, and start the job again when, and only when, it may?"""

import os
import random
import subprocess
from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.launch.cluster.sbatch import in_directive, script
from tests.launch.cluster.fakes import FakeSlurm, fake_slurm

NASTY = [*"'\"`$(){}[]<>|&;*?!~#%^=+,:@/ \t\\-", "$(touch gone)", "`touch gone`", "é", "模", "🙂", "\u2028", "--"]


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    fake = fake_slurm(tmp_path / "slurm", monkeypatch)
    fake.set("squeue", says="RUNNING\n")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    return fake


def job(tmp_path: Path, **changes) -> Job:
    fields = {"key": "k", "name": "net", "kind": "fit", "words": ("fit", "net.yaml"), "parent": tmp_path / "runs"}
    return Job(**(fields | {"folder": tmp_path} | changes))


def run(text: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=os.environ | variables, check=False)


def names(number: int) -> list[str]:
    draw = random.Random(3)  # noqa: S311 - names, no secrets
    return ["".join(draw.choices([*NASTY, "a", "b"], k=draw.randint(1, 12))) for _ in range(number)]


def test_two_hundred_hostile_names_and_paths_reach_srun_as_they_were_meant(tmp_path, slurm):
    """Oracle: the words that srun is started with by bash; nothing in a name was run by the way."""
    meant = []
    for name in names(200):
        folder = tmp_path / name.replace("\\", "").replace("/", "|").strip(".") / "runs"
        words = ("fit", name, "--name", name, "--ckpt", f"{name}/best.ckpt")
        asked = job(tmp_path, name=name, words=words, parent=folder)
        done = run(script(asked, Resources(python=name, prefix=("env", name))))
        assert (done.returncode, done.stderr) == (0, "")
        meant.append(["env", name, name, "-P", "-m", "lightning_cv", *asked.command(0)])
    assert [call[2:] for call in slurm.calls("srun")] == meant
    assert not list(tmp_path.rglob("gone"))


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\n#SBATCH --nodes=9\n"])
@pytest.mark.parametrize("where", ["name", "words", "folder", "parent", "partition", "account", "container"])
def test_what_would_end_a_line_is_refused_wherever_it_stands(tmp_path, where, end):
    text = f"a{end}b"
    resources, changes = Resources(), {}
    if where in ("partition", "account", "container"):
        resources = Resources(**{where: text})
    else:
        changes = {where: {"name": text, "words": ("fit", text)}.get(where, tmp_path / text)}
    with pytest.raises(UserError, match="without line breaks and NUL"):
        script(job(tmp_path, **changes), resources)


def test_a_path_that_slurm_cannot_write_to_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"SLURM cannot write to a path with a backslash; give another --runs-dir"):
        script(job(tmp_path, parent=tmp_path / "a\\b"), Resources())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-1.0/a@b", "plain-1.0/a@b"),
        (4, "4"),
        ("two words", '"two words"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("#", '"#"'),
    ],
)
def test_values_of_directives_are_quoted_as_sbatch_reads_them(value, written):
    """Written by hand from sbatch(1) and `_get_argument` of SLURM 22.05: double quotes, escapes by backslash."""
    assert in_directive(value) == written


@pytest.mark.parametrize(
    ("status", "variables", "state", "requeued"),
    [
        (0, {}, "RUNNING", None),
        (75, {}, "RUNNING", "7"),
        (138, {}, "RUNNING", "7"),
        (75, {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "RUNNING", "12_3"),
        (75, {"SLURM_RESTART_COUNT": "49"}, "RUNNING", "7"),
        (75, {"SLURM_RESTART_COUNT": "50"}, "RUNNING", None),
        (75, {}, "COMPLETING", None),
        (75, {}, "CANCELLED", None),
        (75, {}, "", "7"),
        *((status, {}, "RUNNING", None) for status in (1, 2, 3, 4, 5, 70, 137, 143)),
    ],
)
def test_a_job_is_started_again_only_where_a_signal_stopped_it(slurm, tmp_path, status, variables, state, requeued):
    """The table of statuses of `lightning_cv.errors`; the job ends with the training's own status in any case."""
    slurm.set("srun", status=status)
    slurm.set("squeue", says=f"{state}\n" if state else "", status=0 if state else 1)
    done = run(script(job(tmp_path), Resources()), **variables)
    assert done.returncode == status
    assert slurm.calls("scontrol") == ([["requeue", requeued]] if requeued else [])
    said = done.stdout.startswith("requeue   restart") if requeued else status in (75, 138) or not done.stdout
    assert said, done.stdout


def test_a_script_that_slurm_terminates_is_not_started_again_and_one_that_it_signals_is(slurm, tmp_path):
    text = script(job(tmp_path), Resources())
    slurm.set("srun", does="kill -TERM $PPID", status=75)
    assert run(text).returncode == 75
    assert slurm.calls("scontrol") == []
    slurm.set("srun", does="kill -USR1 $PPID", status=75)
    assert run(text).returncode == 75
    assert slurm.calls("scontrol") == [["requeue", "7"]]


def test_without_requeue_the_status_is_all(slurm, tmp_path):
    slurm.set("srun", status=75)
    text = script(job(tmp_path), Resources(no_requeue=True))
    assert run(text).returncode == 75
    assert slurm.calls("scontrol") == []
    assert "#SBATCH --no-requeue" in text


def test_each_task_of_an_array_trains_with_its_own_seed_in_its_own_folder(slurm, tmp_path):
    asked = job(tmp_path, kind="seeds", tasks=4, first_seed=5, parent=tmp_path / "it's" / "$x")
    text = script(asked, Resources(python="python"))
    assert "#SBATCH --array=0-3\n" in text
    for task in range(4):
        assert run(text, SLURM_ARRAY_TASK_ID=str(task)).returncode == 0
    assert [call[6:] for call in slurm.calls("srun")] == [asked.command(task) for task in range(4)]
    assert [asked.command(task)[-1] for task in range(4)] == ["5", "6", "7", "8"]


def test_a_worker_of_a_search_does_not_take_its_trials_for_tasks_of_slurm(slurm, tmp_path):
    """The variables that name one task of many are gone where the worker starts; those of the job are not."""
    slurm.set("srun", does='"${@:3}"')
    worker = tmp_path / "worker"
    worker.write_text(f"#!/bin/bash\nenv > {tmp_path}/variables\n")
    worker.chmod(0o755)
    text = script(job(tmp_path, kind="sweep", words=("sweep", "study")), Resources(python=str(worker)))
    assert run(text, SLURM_PROCID="0", SLURM_NTASKS="1", SLURM_STEP_ID="0", SLURM_JOB_NODELIST="n1").returncode == 0
    variables = (tmp_path / "variables").read_text()
    assert "SLURM_JOB_NODELIST=n1" in variables
    assert "SLURM_JOB_ID=7" in variables
    for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"):
        assert name not in variables


def test_lines_of_set_up_come_first_and_resources_are_asked_for(slurm, tmp_path):
    resources = Resources(
        setup=("export COLOUR='deep blue'", "cd /"), cpus=6, memory="64G", time="1-0", partition="gpu", account="me",
        qos="high", constraint="a100|h100", gpu=True, container="img:1", container_mounts="/d:/d", lead=120,
    )  # fmt: skip
    text = script(job(tmp_path, nodes=4, devices=8), resources, after="11")
    assert run(text).returncode == 0
    assert slurm.environment("srun")["COLOUR"] == "deep blue"
    assert slurm.environment("srun")["SRUN_CPUS_PER_TASK"] == "6"
    assert slurm.calls("srun")[0][2:4] == ["--container-image=img:1", "--container-mounts=/d:/d"]
    for line in ("nodes=4", "ntasks-per-node=8", "cpus-per-task=6", "gpus-per-node=8", "mem=64G", "time=1-0",
                 "partition=gpu", "account=me", "qos=high", 'constraint="a100|h100"', "dependency=afterok:11",
                 "signal=USR1@120", "requeue", "kill-on-invalid-dep=yes"):  # fmt: skip
        assert f"#SBATCH --{line}\n" in text
    with_gres = script(job(tmp_path, devices=4), Resources(gpu=True, gres="gpu:a100:4"))
    assert "#SBATCH --gres=gpu:a100:4\n" in with_gres
    assert "gpus-per-node" not in with_gres
