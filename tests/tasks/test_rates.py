"""Which rates does a task train with, whatever the devices, the accumulation and the batch?"""

import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lightning_cv.cli.main import main
from lightning_cv.contracts import Stage
from lightning_cv.data import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError
from lightning_cv.optim import Cosine, RateScaling, TorchSchedule
from lightning_cv.tasks import Classify
from tests.processes import fork_ranks, status_of
from tests.tasks.small import TinyData, TinyNet, trainer


class Data(VisionData):
    """40 training images of 4 x 4 pixels in 3 classes."""

    def load(self, stage: Stage) -> ResidentSplit:
        images = torch.randint(256, (40, 1, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
        return ResidentSplit(images, images[:, 0, 0, 0].long() % 3, ("a", "b", "c"), "Data")


class Rated(Classify):
    """Notes the rates of each optimizer step, by group."""

    def on_before_optimizer_step(self, optimizer):
        self.__dict__.setdefault("seen", []).append({g["name"]: g["lr"] for g in optimizer.param_groups})


def task(lr=0.1, **options):
    torch.manual_seed(4)
    return Rated(TinyNet(), partial(torch.optim.SGD, lr=lr, momentum=0.9), **options)


def fit(tmp_path, trained, *, batch_size=8, **options):
    trainer(tmp_path, **options).fit(trained, datamodule=Data(batch_size=batch_size))
    return trained


SCHEDULE = {"none": None, "cosine": Cosine(warmup_steps=2)}


@pytest.mark.parametrize("schedule", SCHEDULE)
@pytest.mark.parametrize(("rule", "factor"), [("linear", 4.0), ("sqrt", 2.0)])
def test_a_scaled_training_is_the_one_whose_recipe_states_the_scaled_rate(tmp_path, rule, factor, schedule):
    """Oracle: by hand. Steps of 2 x 8 samples, a rate of 0.1 for 4: k is 4; to the last bit, under any schedule."""
    scaling = RateScaling(batch=4, rule=rule)
    scaled = task(lr_scaling=scaling, schedule=SCHEDULE[schedule])
    by_hand = task(lr=0.1 * factor, schedule=SCHEDULE[schedule])
    for trained in (scaled, by_hand):
        fit(tmp_path, trained, accumulate_grad_batches=2)
    assert scaled.rate_factor == factor
    assert len(scaled.seen) == 3
    assert scaled.seen == by_hand.seen
    for one, other in zip(scaled.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_recipe_that_wants_nothing_trains_with_its_rate_whatever_the_batch(tmp_path):
    for batch_size, accumulated in ((4, 1), (8, 1), (8, 5)):
        trained = fit(tmp_path, task(), batch_size=batch_size, accumulate_grad_batches=accumulated)
        assert {rates["network"] for rates in trained.seen} == {0.1}


def test_backbone_and_head_keep_their_ratio(tmp_path):
    """By hand: 16 samples for 8, so 0.2 for the head, and a tenth of that for the backbone."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3))
    optimizer = partial(torch.optim.SGD, lr=0.1)
    trained = Rated(network, optimizer, lr_scaling=RateScaling(8), backbone_lr_factor=0.1)
    fit(tmp_path, trained, batch_size=16)
    assert trained.seen[0] == pytest.approx({"backbone": 0.02, "head": 0.2}, rel=1e-12)


def test_the_number_of_devices_changes_no_rate(tmp_path):
    """A batch counts the samples of all devices: two processes see the rates that one sees."""
    one = fit(tmp_path, task(lr_scaling=RateScaling(4)), accumulate_grad_batches=2).seen

    def program(rank):
        trained = task(lr_scaling=RateScaling(4))
        fit(tmp_path, trained, accumulate_grad_batches=2, devices=2, strategy="ddp")
        return 0 if trained.seen == one else 1

    assert [status_of(child) for child in fork_ranks(2, program)] == [0, 0]


def test_a_schedule_with_rates_of_its_own_warns(tmp_path):
    """OneCycleLR takes its highest rate as an argument; a schedule that multiplies says nothing."""
    cycle = TorchSchedule(partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.5, total_steps=10), interval="step")
    with pytest.warns(UserWarning, match="lr_scaling is ignored: the schedule states its own rates"):
        fit(tmp_path, task(lr_scaling=RateScaling(4), schedule=cycle))
    decay = TorchSchedule(partial(torch.optim.lr_scheduler.StepLR, step_size=1))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lr_scaling.*")
        fit(tmp_path, task(lr_scaling=RateScaling(4), schedule=decay))


def test_data_that_do_not_count_over_devices_are_refused_with_a_scaling(tmp_path):
    """Their `batch_size`, where they have one, is a device's."""
    with pytest.raises(UserError, match=r"lr_scaling needs data .* set it to null"):
        trainer(tmp_path).fit(task(lr_scaling=RateScaling(4)), datamodule=TinyData())


SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu"]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]


def test_a_recipe_states_it_in_one_line(tmp_path, capsys):
    """`lr_scaling: {batch: 32}` in a recipe's model; the run's recipe holds the stated rate and the rule."""
    command = ["fit", "digits_mlp", *SHORT, *QUIET, "--run-dir=r"]
    assert main([*command, "--model.init_args.lr_scaling={batch: 32}"]) == 0
    init_args = yaml.safe_load(Path("r/recipe.yaml").read_text())["model"]["init_args"]
    assert init_args["lr_scaling"] == {"batch": 32, "rule": "linear"}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{batch: 0}", "batch is 0; allowed: 1 or more"),
        ("{batch: 32, rule: liner}", "liner"),
        ("{rule: linear}", "batch"),
        ("{batch: 32, power: 2}", "power"),
    ],
)
def test_a_mistake_in_it_is_one_line_that_names_the_key(capsys, given, said):
    assert main(["fit", "digits_mlp", *SHORT, *QUIET, "--run-dir=r", f"--model.init_args.lr_scaling={given}"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "lr_scaling" in line
    assert said in line
