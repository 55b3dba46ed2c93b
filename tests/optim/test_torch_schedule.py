"""Every scheduler of torch is reachable from a recipe."""

import inspect

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torch.optim import lr_scheduler

from lightning_cv.errors import UserError
from lightning_cv.optim import Horizon, Schedule, TorchSchedule, TorchSequential
from tests.tolerances import assert_close

HORIZON = Horizon(total_steps=10, steps_per_epoch=2)
TWO = [{"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": args} for name, args in (
    ("ConstantLR", {"factor": 0.5, "total_iters": 2}),
    ("ExponentialLR", {"gamma": 0.5}),
)]  # fmt: skip

# What each class needs beside the optimizer. A class that torch adds must be added here: the test fails.
ARGUMENTS = {
    "ConstantLR": {},
    "CosineAnnealingLR": {"T_max": 10},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1},
    "ExponentialLR": {"gamma": 0.9},
    "LambdaLR": {"lr_lambda": "math.exp"},
    "LinearLR": {},
    "MultiStepLR": {"milestones": [30], "gamma": 0.1},
    "MultiplicativeLR": {"lr_lambda": "math.cos"},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 10},
    "PolynomialLR": {"total_iters": 10},
    "ReduceLROnPlateau": {"factor": 0.5, "patience": 0},
    "StepLR": {"step_size": 3},
}
SEVERAL = {"SequentialLR": ("TorchSequential", {"milestones": [3]}), "ChainedScheduler": ("TorchChained", {})}


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def from_recipe(name: str, **arguments) -> Schedule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--schedule", type=Schedule)
    recipe = {"schedule": {"class_path": f"lightning_cv.optim.{name}", "init_args": arguments}}
    return parser.instantiate(parser.parse_object(recipe)).schedule


def torch_schedulers() -> set[str]:
    found = {
        name
        for name, value in vars(lr_scheduler).items()
        if inspect.isclass(value) and issubclass(value, lr_scheduler.LRScheduler)
    }
    assert found
    return found - {"LRScheduler", "_LRScheduler"}


@pytest.mark.parametrize("name", sorted(torch_schedulers()))
def test_every_scheduler_of_torch_is_reachable(name):
    """rows 116, 117, 118, 119: a recipe that names any of torch's schedulers builds just that class."""
    if name in SEVERAL:
        own, arguments = SEVERAL[name]
        schedule = from_recipe(own, schedulers=TWO, **arguments)
    else:
        monitor = {"monitor": "val/loss"} if name == "ReduceLROnPlateau" else {}
        scheduler = {"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": ARGUMENTS[name]}
        schedule = from_recipe("TorchSchedule", scheduler=scheduler, **monitor)
    described = schedule.configure(make_optimizer(), HORIZON)
    assert type(described["scheduler"]).__name__ == name
    assert described["interval"] == "epoch"


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("TorchSequential", {"milestones": [3]}, [0.5, 0.5, 1.0, 1.0, 0.5, 0.25]),
        ("TorchChained", {}, [0.5, 0.25, 0.25, 0.125, 0.0625]),
    ],
)
def test_several_schedulers_follow_or_multiply(name, arguments, expected):
    """row 116: constant 0.5 for two steps, and halving at each: one after the other, or multiplied."""
    optimizer = make_optimizer()
    scheduler = from_recipe(name, schedulers=TWO, **arguments).configure(optimizer, HORIZON)["scheduler"]
    seen = []
    for _ in expected:
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert_close(torch.tensor(seen, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64))


def test_a_plateau_scheduler_watches_its_metric():
    """row 116: ReduceLROnPlateau carries its monitor to Lightning, and without one it is refused."""
    plateau = lr_scheduler.ReduceLROnPlateau
    described = TorchSchedule(plateau, monitor="val/loss").configure(make_optimizer(), HORIZON)
    assert described["monitor"] == "val/loss"
    with pytest.raises(UserError, match="monitor"):
        TorchSchedule(plateau).configure(make_optimizer(), HORIZON)


def test_a_monitor_without_use_warns():
    """row 116: a monitor that no scheduler watches is reported."""
    with pytest.warns(UserWarning, match="val/loss"):
        TorchSchedule(lr_scheduler.ConstantLR, monitor="val/loss").configure(make_optimizer(), HORIZON)


def test_sequential_needs_a_milestone_between_any_two():
    """row 116: the number of milestones is checked against the number of schedulers."""
    with pytest.raises(UserError, match="2 milestones for 1 schedulers"):
        TorchSequential([lr_scheduler.ConstantLR], [1, 2])
