"""Does training stop exactly `patience` validations after the best one?"""

import pytest
import torch

from lightning_cv.callbacks import EarlyStopping, Snapshot
from lightning_cv.errors import UserError
from tests.callbacks.tiny import TinyTask, loader, newest, trainer

RISE_AND_FALL = [0.1, 0.3, 0.5, 0.9, 0.8, 0.7, 0.85, 0.6, 0.5, 0.4, 0.3, 0.2]  # the peak is validation 3


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_it_stops_patience_validations_after_the_known_peak_of_a_scripted_metric(tmp_path, patience):
    """row 121: metric and mode come from the task; the oracle is the place of the script's maximum."""
    task = TinyTask(script=RISE_AND_FALL)
    fitter = trainer(tmp_path, [EarlyStopping(patience=patience)], max_epochs=12)
    fitter.fit(task, loader(), loader())
    assert fitter.current_epoch == 3 + patience + 1
    assert task.validations == 3 + patience + 1


def test_it_counts_validations_within_an_epoch_too(tmp_path):
    """row 121: two validations an epoch; the peak is the fourth, so two more end the third epoch."""
    task = TinyTask(script=RISE_AND_FALL)
    fitter = trainer(tmp_path, [EarlyStopping(patience=2)], max_epochs=12, val_check_interval=0.5)
    fitter.fit(task, loader(), loader())
    assert task.validations == 6
    assert fitter.global_step == 18


def test_a_metric_that_should_fall_is_watched_for_its_minimum(tmp_path):
    """row 121: the script mirrored, with monitor and mode given; a min_delta larger than any gain stops early."""
    task = TinyTask(script=[-value for value in RISE_AND_FALL])
    fitter = trainer(tmp_path, [EarlyStopping(patience=2, monitor="val/score", mode="min")], max_epochs=12)
    fitter.fit(task, loader(), loader())
    assert task.validations == 6
    task = TinyTask(script=[-value for value in RISE_AND_FALL])
    stopper = EarlyStopping(patience=2, monitor="val/score", mode="min", min_delta=5.0)
    trainer(tmp_path, [stopper], max_epochs=12).fit(task, loader(), loader())
    assert task.validations == 3


def test_the_sanity_check_does_not_count(tmp_path):
    """row 121: two sanity batches before training change nothing."""
    task = TinyTask(script=RISE_AND_FALL)
    trainer(tmp_path, [EarlyStopping(patience=2)], max_epochs=12, num_sanity_val_steps=2).fit(task, loader(), loader())
    assert task.validations == 6


@pytest.mark.parametrize("stop_after", [4, 5])
def test_the_count_goes_on_after_a_resume(tmp_path, stop_after):
    """row 121: interrupted at the peak or after it, it stops at the same validation as without interruption."""
    parts = [EarlyStopping(patience=3), Snapshot()]
    task = TinyTask(script=RISE_AND_FALL)
    trainer(tmp_path, parts, max_epochs=stop_after).fit(task, loader(), loader())
    resumed = TinyTask(script=RISE_AND_FALL)
    fitter = trainer(tmp_path, [EarlyStopping(patience=3), Snapshot()], max_epochs=12)
    last = newest(tmp_path)
    fitter.fit(resumed, loader(), loader(), ckpt_path=last, weights_only=True)
    assert resumed.validations == 7
    assert fitter.current_epoch == 7


def test_an_unknown_metric_is_named_with_those_that_exist(tmp_path):
    fitter = trainer(tmp_path, [EarlyStopping(monitor="val/acuracy", mode="max")])
    with pytest.raises(UserError, match=r"'val/acuracy'.*train/loss, val/loss, val/score") as error:
        fitter.fit(TinyTask(), loader(), loader())
    assert "\n" not in str(error.value)


def test_a_metric_of_ones_own_needs_a_mode(tmp_path):
    with pytest.raises(UserError, match="mode is not given for monitor 'val/loss'; set mode to min or max"):
        trainer(tmp_path, [EarlyStopping(monitor="val/loss")]).fit(TinyTask(), loader(), loader())


def test_without_validation_it_says_that_it_does_nothing(tmp_path):
    fitter = trainer(tmp_path, [EarlyStopping(patience=1)], max_epochs=4)
    with pytest.warns(UserWarning, match="EarlyStopping does nothing"):
        fitter.fit(TinyTask(), loader())
    assert fitter.current_epoch == 4


def test_steps_that_end_before_the_first_validation_are_no_error(tmp_path):
    fitter = trainer(tmp_path, [EarlyStopping(patience=1)], max_steps=3, max_epochs=-1)
    fitter.fit(TinyTask(), loader(), loader())
    assert fitter.global_step == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [({"patience": 0}, "patience is 0"), ({"min_delta": -1.0}, "min_delta"), ({"mode": "up"}, "'up'")],
)
def test_a_wrong_value_is_named(options, named):
    with pytest.raises(UserError, match=named):
        EarlyStopping(**options)


def test_a_metric_that_is_not_finite_stops_training(tmp_path):
    task = TinyTask(script=[0.5, float("nan"), 0.7])
    stopper = EarlyStopping(patience=9)
    trainer(tmp_path, [stopper], max_epochs=3).fit(task, loader(), loader())
    assert task.validations == 2
    assert torch.isfinite(stopper.best_score)
