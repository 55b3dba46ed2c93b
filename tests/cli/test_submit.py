"""The verb submit: what it prints, what it hands to SLURM, what it does without one, and each mistake as one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lightning_cv.cli import fit, sweep
from lightning_cv.cli.main import main
from lightning_cv.launch.cluster.records import read_records
from lightning_cv.record.progress import read_progress
from tests.hosts import two_hosts
from tests.launch.cluster.fakes import PROGRAMS, FakeSlurm, fake_slurm
from tests.run.test_begin import free_port

SEARCH = """\
recipe: digits_mlp
objective: {metric: val/loss, mode: min}
trials: 6
space:
  model.init_args.optimizer.init_args.lr: {log_uniform: [1e-4, 1e-1]}
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> FakeSlurm:
    fake = fake_slurm(tmp_path / "slurm", monkeypatch)
    fake.set("sbatch", says="1234\n")
    fake.set("sinfo", says="gpu\x1f1-00:00:00\n")
    return fake


@pytest.fixture
def no_slurm(tmp_path, monkeypatch) -> None:
    fake_slurm(tmp_path / "slurm", monkeypatch, without=PROGRAMS)


def submit(*words: str) -> int:
    return main(["submit", *words, "--no-check"])


def one_line(capsys, *words: str) -> str:
    """What a wrong command line says: one line, exit status 2."""
    assert main(["submit", *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def readme_examples(text: str) -> list[tuple[str, str]]:
    """The commands that README shows with their batch scripts."""
    blocks = re.findall(r"^```text\n\$ lightning-cv (submit [^\n]*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [(command, script) for command, script in blocks if script.startswith("#!/bin/bash")]


def test_the_scripts_in_the_readme_are_those_that_are_printed(repository, capsys, no_slurm):
    """A single machine, four machines, the array of a search; `...` stands for the end that they share."""
    examples = readme_examples((repository / "README.md").read_text())
    assert [command.split()[1] for command, _ in examples] == ["digits_resnet", "imagenet_resnet50", "digits_lr_decay"]
    end = None
    for command, shown in examples:
        assert submit(*command.split()[1:]) == 0
        printed = capsys.readouterr().out.replace(str(Path.cwd()), "/home/me/project")
        key = re.search(r"/([a-z0-9]{8})(-%a)?\.log", printed)[1]
        printed = printed.replace(key, "k7m2x9qd").replace(sys.executable, "/home/me/.venv/bin/python")
        end = end or shown[shown.index("# SLURM signals") :]
        assert shown.replace("...\n", end) == printed
    assert not Path("runs").exists(), "a dry run leaves nothing behind"


def test_the_job_trains_the_recipe_as_it_was_when_it_was_submitted(slurm, capsys):
    """Overrides are in the file that the job reads, and later edits of the original are not."""
    assert submit("digits_mlp", "--devices=2", "--trainer.max_epochs=7", "--test", "--name=mine") == 0
    (call,) = slurm.calls("sbatch")
    assert call == ["--parsable", str(Path.cwd() / "runs/.jobs" / read_records(Path("runs"))[0].key / "job.sh")]
    recipe = re.search(r"fit (\S+\.yaml)", slurm.script)[1]
    values = yaml.safe_load(Path(recipe).read_text())
    assert values["trainer"] | {"max_epochs": 7, "devices": 2, "num_nodes": 1} == values["trainer"]
    assert "\n  --test\n" in slurm.script
    assert "--ntasks-per-node=2\n" in slurm.script
    (record,) = read_records(Path("runs"))
    assert (record.job, record.name, record.kind) == ("1234", "mine", "fit")
    out = capsys.readouterr().out
    assert "job       1234; cancel it with: lightning-cv jobs cancel 1234" in out
    assert f"run       runs/mine/{record.key}" in out


def test_what_another_job_or_sbatchs_variables_say_does_not_reach_the_script(slurm, monkeypatch):
    """Submitted from within a job: its numbers go; options of sbatch that the script gives win over variables."""
    variables = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "9", "SBATCH_TIMELIMIT": "1", "SBATCH_JOB_NAME": "other"}
    for name, value in (variables | {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_EXPORT": "ALL"}).items():
        monkeypatch.setenv(name, value)
    assert submit("digits_mlp") == 0
    given = slurm.environment("sbatch")
    assert not {"SLURM_JOB_ID", "SLURM_NTASKS", "SBATCH_JOB_NAME"} & given.keys()
    assert (given["SLURM_CONF"], given["SBATCH_EXPORT"], given["SBATCH_TIMELIMIT"]) == ("/etc/slurm.conf", "ALL", "1")


def test_what_slurm_refuses_is_one_line_in_its_words_and_leaves_nothing(slurm, capsys):
    slurm.set("sbatch", complains="sbatch: error: Batch job submission failed:\n Invalid account\n", status=1)
    line = one_line(capsys, "digits_mlp", "--no-check")
    assert line == "error: sbatch: sbatch: error: Batch job submission failed: Invalid account"
    assert read_records(Path("runs")) == []
    assert not list(Path("runs/.jobs").iterdir())
    slurm.set("sbatch", says="what?\n")
    assert "sbatch: answered 'what?' instead of a job's number" in one_line(capsys, "digits_mlp", "--no-check")


def test_the_workers_of_a_search_share_one_study_and_its_password_is_in_no_file(slurm, tmp_path):
    Path("search.yaml").write_text(SEARCH)
    assert submit("search.yaml", "--workers=4", "--cpus=3") == 0
    assert "#SBATCH --array=0-3\n" in slurm.script
    assert f"sweep {Path.cwd()}/runs/search\n" in slurm.script
    (record,) = read_records(Path("runs"))
    assert (record.kind, len(record.logs)) == ("sweep", 4)


def test_each_seed_is_a_task(slurm, capsys):
    assert submit("digits_mlp", "--seeds=3", "--seed=5") == 0
    (record,) = read_records(Path("runs"))
    assert [path.rpartition("-")[2] for path in record.runs] == ["s5", "s6", "s7"]
    assert "job       1234, 3 tasks; cancel it with: lightning-cv jobs cancel 1234" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "nope: neither a file nor a shipped recipe or sweep"),
        (["digits_mpl"], "digits_mpl: neither a file nor a shipped recipe or sweep; did you mean digits_mlp?"),
        (["--nodes=2"], "submit needs a recipe or a sweep"),
        (["digits_mlp", "--partion=gpu"], "--partion is not an option of submit; did you mean --partition?"),
        (["digits_mlp", "--nodes=0"], "--nodes: '0' given, allowed: whole numbers from 1"),
        (["digits_mlp", "--nodes"], "submit: argument --nodes: expected one argument"),
        (
            ["digits_mlp", "--devices=3"],
            "--nodes 1 x --devices 3 = 3 devices cannot share evenly; next: 63 or 66",
        ),
        (["digits_mlp", "--time=soon"], "--time: 'soon' given, allowed: a time above 0"),
        (["digits_mlp", "--time=1"], "--time 1: not longer than --lead, the 90 s that are left to save"),
        (["digits_mlp", "--memory=lots"], "--memory: 'lots' given, allowed: a size such as 64G"),
        (["digits_mlp", "--lead=0"], "--lead: '0' given, allowed: whole numbers from 1"),
        (["digits_mlp", "--max-restarts=-1"], "--max-restarts: '-1' given, allowed: whole numbers"),
        (["digits_mlp", "--partition=gqu"], "--partition gqu: sinfo knows no such partition; did you mean gpu?"),
        (["digits_mlp", "--account=a\nb"], "--account: 'a\\nb' given, allowed: text in one line"),
        (["digits_mlp", "--name=a\nb"], "without line breaks and NUL"),
        (["digits_mlp", "--profile=big"], "--profile big: neither a file, nor is there cluster.yaml"),
        (["digits_mlp", "--seeds=none"], "--seeds 'none': allowed: whole numbers from 1"),
        (["digits_mlp", "--seeds=2", "--run-dir=a"], "--seeds makes a run for each seed, --run-dir names one"),
        (["digits_mlp", "--workers=2"], "--workers is for a sweep; digits_mlp is a recipe"),
        (["digits_mlp", "--after=x"], "--after 'x': allowed: the number of a job, such as 1234 or 1234_0"),
        (["search.yaml", "--seeds=2"], "--seeds is for a recipe; a search has --workers"),
        (["search.yaml", "--trainer.max_epochs=2"], "--trainer.max_epochs: overrides are for a recipe"),
        (["search.yaml", "--ckpt=a"], "--ckpt is for a recipe, search.yaml is a sweep"),
        (["search.yaml", "--nodes=2"], "--nodes 2: a trial of a search trains on one machine"),
        (["search.yaml", "--devices=2"], "--devices 2: trials train on the recipe's trainer.devices, 1"),
        (["search.yaml", "--workers=2", "--storage=sqlite:///a.db"], "--workers 2: SQLite takes one worker only"),
        (["search.yaml", "--workers=0"], "--workers '0': allowed: whole numbers from 1"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "submit"])
def test_a_mistake_is_one_line_that_names_the_option_and_nothing_is_submitted(slurm, capsys, words, said, dry):
    Path("search.yaml").write_text(SEARCH)
    assert said in one_line(capsys, *words, "--no-check", *dry)
    assert slurm.calls("sbatch") == []
    assert not Path("runs").exists()


@pytest.mark.slow
def test_the_recipe_is_read_as_a_training_would_before_it_is_submitted(slurm, capsys):
    """A key that only the classes know is found, with the user's own file and line; the right one is submitted."""
    Path("mine.yaml").write_text(
        "model:\n  class_path: lightning_cv.tasks.Classify\n  init_args:\n    network:\n"
        "      class_path: lightning_cv.networks.classify.Mlp\n      init_args:\n        hiden: [3]\n"
    )
    line = one_line(capsys, "digits_mlp", "--config=mine.yaml")
    assert "mine.yaml:7: model.init_args.network.init_args.hiden" in line
    assert slurm.calls("sbatch") == []


def test_without_slurm_one_machine_trains_right_here(no_slurm, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(fit, "run", lambda words: asked.append(list(words)) or 0)
    assert submit("digits_mlp", "--seeds=2") == 0
    assert [words[words.index("--seed") + 1] for words in asked] == ["0", "1"]
    assert "SLURM     is not on this machine: running right here" in capsys.readouterr().err
    monkeypatch.setattr(fit, "run", lambda words: 4)
    assert submit("digits_mlp", "--seeds=2") == 4


def test_without_slurm_a_search_gets_all_its_workers_at_once(no_slurm, monkeypatch):
    asked = []
    monkeypatch.setattr(sweep, "run", lambda words: asked.append(list(words)) or 0)
    Path("search.yaml").write_text(SEARCH)
    assert submit("search.yaml", "--workers=3") == 0
    (words,) = asked
    assert words[words.index("--workers") + 1] == "3"


def test_without_slurm_what_needs_it_is_refused(no_slurm, capsys):
    assert "--after 3: there is no SLURM here" in one_line(capsys, "digits_mlp", "--after=3", "--no-check")
    words = ("digits_mlp", "--seeds=2", "--nodes=2", "--no-check")
    assert "--seeds on several machines needs SLURM" in one_line(capsys, *words)
    words = ("digits_mlp", "--nodes=2", "--first-node=a b", "--no-check")
    assert "--first-node 'a b': allowed: HOST or HOST:PORT" in one_line(capsys, *words)


@pytest.mark.slow
def test_the_printed_lines_for_two_machines_train_one_run(no_slurm, capsys):
    """Each is run by a shell on a machine of its own, as a user would; the folder's name needs its quotes."""
    short = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=4", "--trainer.accelerator=cpu"]
    short += ["--trainer.logger=false", "--name=it's two"]
    with two_hosts() as hosts:
        assert submit("digits_mlp", "--nodes=2", f"--first-node={hosts[0].address}:{free_port()}", *short) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
        started = [
            subprocess.Popen(
                [*host.prefix, "bash", "-c", line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            for host, line in zip(hosts, lines, strict=True)
        ]
        said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    (run,) = [path for path in (Path("runs") / "it's two").iterdir() if path.is_dir()]
    assert [event["event"] for event in read_progress(run)].count("end") == 1
    assert '"devices": 2' in (run / "provenance.json").read_text()


def test_its_parts_can_be_read_without_torch(repository):
    script = (
        "import sys\nfrom lightning_cv.cli.main import main\n"
        "assert main(['submit', 'digits_mlp', '--dry-run', '--no-check']) == 0\nassert main(['jobs']) == 0\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'wandb', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
