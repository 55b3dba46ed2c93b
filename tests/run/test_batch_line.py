"""Does the line at the start say what a step is made of?"""

import os
import re
from pathlib import Path

import pytest
import yaml

from lightning_cv.cli.main import main
from lightning_cv.record.progress import read_progress
from lightning_cv.run.batch_line import BatchLine, batch_line
from tests.callbacks.tiny import TinyModule, TinyTask, trainer
from tests.processes import fork_ranks, status_of

QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]
FIT = ["fit", "digits_mlp", "--trainer.accelerator=cpu", *QUIET]


def said(capsys) -> list[str]:
    """The lines about the batch, without their label."""
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("batch     ") for line in lines if line.startswith("batch ")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 1,294 training images: 1294 / 64 = 20.2, so 21 steps.
        (["--trainer.max_epochs=2"], "64 = 1 device x 64, accumulated 1 x; 21 steps an epoch, 42 in all; lr 0.003"),
        # 1294 / 32 = 40.4, so 41 batches; 41 / 3 = 13.7, so 14 steps.
        (
            ["--data.init_args.batch_size=32", "--trainer.accumulate_grad_batches=3", "--trainer.max_epochs=1"],
            "96 = 1 device x 32, accumulated 3 x; 14 steps an epoch, 14 in all; lr 0.003",
        ),
        (
            ["--trainer.max_epochs=-1", "--trainer.max_steps=2", "--trainer.limit_train_batches=5"],
            "64 = 1 device x 64, accumulated 1 x; 5 steps an epoch, 2 in all; lr 0.003",
        ),
        (
            ["--trainer.max_epochs=1", "--model.init_args.lr_scaling={batch: 32}"],
            "64 = 1 device x 64, accumulated 1 x; 21 steps an epoch, 21 in all; lr 0.006 = 0.003 x 2",
        ),
        (
            ["--trainer.max_epochs=1", "--model.init_args.backbone_lr_factor=0.1"],
            "64 = 1 device x 64, accumulated 1 x; 21 steps an epoch, 21 in all; lr 0.0003 (backbone), 0.003 (head)",
        ),
    ],
)
def test_the_line_is_what_the_recipe_comes_to(capsys, options, expected):
    """By hand, from the number of training images; the last step of the run's record is the one that was told."""
    assert main([*FIT, *options, "--model.init_args.optimizer.init_args.lr=0.003", "--run-dir=r"]) == 0
    assert said(capsys) == [expected]
    assert read_progress(Path("r"))[-1]["step"] == int(re.search(r"(\d+) in all", expected)[1])


def test_the_first_process_of_two_tells_for_both(tmp_path, capfd):
    """One line: the batch of the recipe, half of it on each device, and as many steps as on one."""

    def program(rank):
        if rank:
            os.environ["LIGHTNING_CV_RUN_FOLDER"] = str(tmp_path / "r")
        return main([*FIT, "--devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=1", "--run-dir=r"])

    assert [status_of(child) for child in fork_ranks(2, program)] == [0, 0]
    (line,) = said(capfd)
    assert line.startswith("64 = 2 devices x 32, accumulated 1 x; 21 steps an epoch, 21 in all; lr ")


def test_a_resumed_run_tells_the_whole_length(capsys):
    assert main([*FIT, "--trainer.max_epochs=1", "--run-dir=r"]) == 0
    assert main(["fit", "--resume=r", "--trainer.max_epochs=3"]) == 0
    first, second = said(capsys)
    assert "21 steps an epoch, 21 in all" in first
    assert "21 steps an epoch, 63 in all" in second
    assert yaml.safe_load(Path("r/recipe.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_other_data_tell_no_samples(tmp_path):
    """What another library's data module makes of its batch size is not known."""
    task = TinyTask(lr=0.25)
    fitter = trainer(tmp_path, [BatchLine()], max_epochs=2)
    fitter.fit(task, datamodule=TinyModule())
    assert batch_line(fitter) == "accumulated 1 x; 6 steps an epoch, 12 in all; lr 0.25"


class OnTwoMachines:
    """As much of a Trainer as the line looks at."""

    world_size, num_nodes, accumulate_grad_batches = 8, 2, 4
    num_training_batches, estimated_stepping_batches = 10, float("inf")
    optimizers = ()
    lightning_module = None

    class datamodule:  # noqa: N801
        global_batch_size = 16


def test_several_machines_are_named():
    """8 processes on 2 machines are 4 on each; 10 batches, 4 a step, are 3 steps."""
    assert (
        batch_line(OnTwoMachines()) == "64 = 2 nodes x 4 devices x 2, accumulated 4 x; 3 steps an epoch, without an end"
    )
