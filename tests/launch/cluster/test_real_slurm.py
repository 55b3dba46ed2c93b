"""Does a real SLURM take what submit writes: names and paths, a run that is preempted, seeds, the workers of a search?

Its daemons are Debian's, started for these tests; where they cannot start, the tests are skipped with the reason.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.launch.cluster.records import read_records
from lightning_cv.launch.cluster.sbatch import script
from lightning_cv.record.progress import read_progress
from lightning_cv.sweep.engine.session import find_study
from tests.launch.cluster.real_slurm import said, slurm, state_of
from tests.resuming import differences
from tests.run.test_begin import FIT, by_torchrun, final, start
from tests.sweep.watching import lines, until

pytestmark = pytest.mark.slow

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
HOSTILE = (
    "plain",
    "two words",
    "#SBATCH --nodes=2",
    "a 'single' and a \"double\" quote",
    "$(touch gone) `touch gone` $HOME ${x} \\$y",
    "semi;colon & pipe | redirect > file < file",
    "per%cent %j %A_%a %% %",
    "star * question ? [range] {a,b} ~ !",
    "-dash --nodes=2",
    "Übergrößenträger 模型 🙂",
    "  spaces at both ends  ",
    "tab\tin it",
    "equals=sign, comma: colon",
)


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory) -> Iterator[None]:
    with slurm(tmp_path_factory.mktemp("slurm")):
        yield


def submitted(*words: str) -> str:
    """Hand a line to SLURM; the job's number."""
    assert main(["submit", *words, "--no-check"]) == 0
    return read_records(Path("runs"))[-1].job


def has_ended(job: str) -> bool:
    return all(state in ENDED for state in state_of(job).split())


def log_of(job: str) -> str:
    (record,) = (record for record in read_records(Path("runs")) if record.job == job)
    return "\n".join(Path(path).read_text() for path in record.logs if Path(path).is_file())


def fields_of(job: str) -> dict[str, str]:
    """What SLURM says of a job: a field a line."""
    words = said(["scontrol", "show", "job", job, "--oneliner"]).split(" ")
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_hostile_names_get_through_the_batch_script_to_the_program(tmp_path):
    """Oracles: the words that the program was started with, the file that SLURM wrote, what SLURM calls the job."""
    jobs = {}
    for index, name in enumerate(HOSTILE):
        place = tmp_path / str(index)
        working = place / ("in " + name.replace("\\", ""))  # SLURM cannot write to a path with one; submit refuses it
        (working / "runs").mkdir(parents=True)
        program = place / "program"
        program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > {place}/words\npwd > {place}/pwd\necho printed\n')
        program.chmod(0o755)
        words = ("fit", f"{name}.yaml", "--name", name)
        job = Job(key="k", name=name, kind="fit", words=words, parent=working / "runs", folder=working)
        file = place / "job.sh"
        file.write_text(script(job, Resources(python=str(program), no_requeue=True)))
        jobs[said(["sbatch", "--parsable", str(file)])] = (place, job)
    assert len(jobs) == len(HOSTILE)
    for number, (place, job) in jobs.items():
        until(lambda number=number: has_ended(number))
        assert state_of(number) == "COMPLETED", ((place / "job.sh").read_text(), lines(job.log(0)))
        assert (place / "words").read_text().split("\0")[:-1] == ["-P", "-m", "lightning_cv", *job.command(0)]
        assert (place / "pwd").read_text() == f"{job.folder}\n"
        assert lines(job.log(0)) == ["printed"]
        called = said(["squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%j"])
        assert called == job.name.strip()
    assert not list(tmp_path.rglob("gone"))


def test_a_job_that_is_preempted_by_signal_is_requeued_and_ends_with_the_same_bits(tmp_path, capfd):
    """Two processes under srun, stopped by the signal that `--signal=USR1@90` announces; oracle: an undisturbed run."""
    line = [word for word in FIT[1:] if "devices" not in word]
    line[line.index("--trainer.max_epochs=2")] = "--trainer.max_epochs=40"
    job = submitted(*line, "--devices=2", "--time=10")
    (run,) = [Path(path) for path in read_records(Path("runs"))[-1].runs]
    until(lambda: any('"validation"' in text for text in lines(run / "progress.jsonl")))
    assert subprocess.run(["scancel", "--signal=USR1", job], check=False).returncode == 0
    until(lambda: "PENDING" in state_of(job) or has_ended(job))
    assert "requeue   restart 1 of 50 at most" in log_of(job)
    assert fields_of(job)["Requeue"] == "1"
    until(lambda: fields_of(job)["Reason"] == "BeginTime" or has_ended(job))  # known at SLURM's next look at its queue
    capfd.readouterr()
    assert main(["jobs"]) == 0
    assert "PENDING (BeginTime)" in capfd.readouterr().out
    # It would wait two minutes; within the second of the requeue the node would refuse it.
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+3"], check=True)
    until(lambda: has_ended(job))
    log = log_of(job)
    assert state_of(job) == "COMPLETED", log
    assert fields_of(job)["Restarts"] == "1"
    assert log.count("stopped: SIGUSR1 received") == 1
    assert "auto-requeueing" not in log
    assert [event["event"] for event in read_progress(run)].count("resume") == 1
    assert start(["fit", *line, "--trainer.devices=2", "--run-dir=straight"], by_torchrun) == [0, 0]
    assert not differences(final(tmp_path / "straight"), final(run))


def test_every_seed_is_a_run_of_its_own(capfd):
    """Two tasks of one array, each with its seed in its recipe; `jobs` shows them, and what they reached."""
    line = [word for word in FIT[1:] if "devices" not in word]
    job = submitted(*line, "--seeds=2", "--seed=5")
    until(lambda: has_ended(job))
    assert state_of(job).split() == ["COMPLETED"] * 2, log_of(job)
    (record,) = read_records(Path("runs"))
    for path, seed in zip(record.runs, (5, 6), strict=True):
        assert path.endswith(f"-s{seed}")
        assert f"seed_everything: {seed}\n" in (Path(path) / "recipe.yaml").read_text()
        assert [event["event"] for event in read_progress(Path(path))][-1] == "end"
    capfd.readouterr()
    assert main(["jobs", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [(row["job"], row["state"]) for row in rows] == [(f"{job}_{task}", "COMPLETED") for task in range(2)]
    assert all(row["best"].startswith("val/") for row in rows)


def test_the_workers_of_an_array_search_one_study(capfd):
    """Each trial is trained once, whichever worker took it; both workers took some."""
    Path("search.yaml").write_text(
        "recipe: digits_mlp\nobjective: {metric: val/loss, mode: min}\ntrials: 6\npruner: none\n"
        "fixed:\n  trainer: {max_epochs: 2, limit_train_batches: 5, accelerator: cpu, logger: false,"
        " num_sanity_val_steps: 0, enable_model_summary: false}\n"
        "space:\n  model.init_args.optimizer.init_args.lr: {log_uniform: [1e-4, 1e-1]}\n"
    )
    job = submitted("search.yaml", "--workers=2")
    until(lambda: has_ended(job))
    assert state_of(job).split() == ["COMPLETED"] * 2, log_of(job)
    trials = find_study("search", Path("runs")).results().trials
    assert [trial.state for trial in trials] == ["complete"] * 6
    for trial in trials:
        assert trial.folder is not None
        assert [event["event"] for event in read_progress(trial.folder)].count("end") == 1
    capfd.readouterr()
    assert main(["jobs"]) == 0
    assert "6 complete" in capfd.readouterr().out


def test_a_cancelled_job_ends_with_a_snapshot_and_is_not_started_again():
    line = [word for word in FIT[1:] if "devices" not in word]
    line[line.index("--trainer.max_epochs=2")] = "--trainer.max_epochs=2000"
    job = submitted(*line)
    (run,) = [Path(path) for path in read_records(Path("runs"))[-1].runs]
    until(lambda: any('"validation"' in text for text in lines(run / "progress.jsonl")))
    assert main(["jobs", "cancel", job]) == 0
    until(lambda: has_ended(job))
    assert state_of(job) == "CANCELLED"
    until(lambda: "stopped: SIGTERM received" in log_of(job))
    assert list((run / "checkpoints").glob("*.ckpt"))
