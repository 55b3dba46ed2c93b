"""Which differences between two recipes make another run?"""

import copy

import pytest

from lightning_cv.run.course import changes, course_sha256

RECIPE = {
    "seed_everything": 0,
    "model": {
        "class_path": "a.Task",
        "init_args": {"network": {"init_args": {"widths": [1, 2]}}, "optimizer": {"lr": 0.1}},
    },
    "data": {
        "class_path": "a.Data",
        "init_args": {"root": "here", "num_workers": 2, "batch_size": 8, "val_fraction": 0.1},
    },
    "callbacks": {"snapshot": {"init_args": {"every_n_steps": None}}},
    "trainer": {"max_epochs": 3, "devices": 1, "precision": "32-true", "accumulate_grad_batches": 1, "logger": True},
}


def changed(path: str, value: object) -> dict:
    recipe = copy.deepcopy(RECIPE)
    *parents, name = path.split(".")
    part = recipe
    for parent in parents:
        part = part[parent]
    part[name] = value
    return recipe


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed_everything", 1),
        ("model.init_args.optimizer.lr", 0.2),
        ("model.init_args.network.init_args.widths", [1, 3]),
        ("data.class_path", "a.Other"),
        ("data.init_args.batch_size", 16),
        ("data.init_args.val_fraction", 0.2),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.accumulate_grad_batches", 2),
    ],
)
def test_what_changes_the_computation_is_another_run_and_is_named(path, value):
    other = changed(path, value)
    assert course_sha256(other) != course_sha256(RECIPE)
    assert [(where, new) for where, _, new in changes(RECIPE, other)] == [(path, value)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer.max_epochs", 30),
        ("trainer.devices", 8),
        ("trainer.logger", False),
        ("data.init_args.root", "there"),
        ("data.init_args.num_workers", 8),
        ("callbacks.snapshot.init_args.every_n_steps", 10),
    ],
)
def test_where_and_how_long_a_run_goes_does_not_make_it_another(path, value):
    other = changed(path, value)
    assert course_sha256(other) == course_sha256(RECIPE)
    assert changes(RECIPE, other) == []


def test_the_order_of_keys_does_not_matter():
    turned = {name: RECIPE[name] for name in reversed(RECIPE)}
    assert course_sha256(turned) == course_sha256(RECIPE)


def test_a_key_that_one_lacks_is_a_difference():
    other = copy.deepcopy(RECIPE)
    other["model"]["init_args"]["schedule"] = {"warmup_steps": 3}
    assert changes(RECIPE, other) == [("model.init_args.schedule.warmup_steps", None, 3)]
