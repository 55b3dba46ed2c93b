"""Is the averaged network the exponential moving average of the trained one, always?"""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from lightning_cv.callbacks import Ema, Snapshot
from lightning_cv.errors import UserError
from tests.callbacks.tiny import TinyTask, loader, newest, trainer
from tests.tolerances import assert_close


def normed_network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def recursion(history: list[np.ndarray], decay: float, *, warmup: bool) -> np.ndarray:
    """a_0 = w_0; a_{t+1} = d_t a_t + (1 - d_t) w_{t+1}, in float64; `history` is w_0, w_1, ..."""
    average = history[0].astype(np.float64)
    for t, weights in enumerate(history[1:]):
        d = min(decay, (1 + t) / (10 + t)) if warmup else decay
        average = d * average + (1 - d) * weights.astype(np.float64)
    return average


def weights_of(task: TinyTask, first: dict, name: str, steps: range) -> list[np.ndarray]:
    return [first[name].numpy()] + [task.raw_by_step[s][name].numpy() for s in steps]


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_is_the_recursion_in_float64_once_an_optimizer_step(tmp_path, warmup, accumulate):
    """Oracle: the closed recursion in NumPy float64 over the weights seen after each optimizer step,
    also with several micro-batches a step; batch statistics are averaged, counters copied."""
    task = TinyTask(normed_network())
    first = {k: v.clone() for k, v in task.network.state_dict().items()}
    fitter = trainer(tmp_path, [Ema(decay=0.9, warmup=warmup)], accumulate_grad_batches=accumulate)
    fitter.fit(task, loader())
    steps = range(1, 12 // accumulate + 1)
    assert fitter.global_step == len(steps)
    averaged = task.averaged.state_dict()
    names = [n for n in averaged if accumulate == 1 or "running" not in n]
    for name in names:
        if averaged[name].is_floating_point():
            expected = recursion(weights_of(task, first, name, steps), 0.9, warmup=warmup)
            assert_close(averaged[name], torch.from_numpy(expected).float())
        else:
            assert torch.equal(averaged[name], task.network.state_dict()[name])
    assert not torch.equal(averaged["0.weight"], task.network.state_dict()["0.weight"])
    assert not task.averaged.training
    assert not any(p.requires_grad for p in task.averaged.parameters())


def test_it_equals_lightnings_average_over_the_same_weights(tmp_path):
    """Oracle: Lightning's EMAWeightAveraging, which starts from the weights after the first step."""

    class Theirs(EMAWeightAveraging):
        def on_train_end(self, trainer, pl_module):  # before it moves the average into the task
            self.result = {k: v.clone() for k, v in self._average_model.module.network.state_dict().items()}

    ours, theirs = TinyTask(normed_network()), TinyTask(normed_network())
    trainer(tmp_path, [Ema(decay=0.8, warmup=False, start_step=1)]).fit(ours, loader())
    callback = Theirs(decay=0.8)
    trainer(tmp_path, [callback]).fit(theirs, loader())
    assert torch.equal(ours.network.state_dict()["0.weight"], theirs.raw_by_step[12]["0.weight"])
    floating = {name: value for name, value in callback.result.items() if value.is_floating_point()}
    assert len(floating) == 8
    for name, value in floating.items():
        assert_close(ours.averaged.state_dict()[name], value)


def test_until_the_start_the_average_is_the_trained_weights(tmp_path):
    """Lightning #21724: with a start later than the end, the initial weights were validated and kept."""
    task = TinyTask(normed_network())
    trainer(tmp_path, [Ema(decay=0.9, start_step=7)], max_epochs=3).fit(task, loader(), loader())
    for step in range(1, 8):
        for name, raw in task.raw_by_step[step].items():
            assert torch.equal(task.averaged_by_step[step][name], raw)
    assert not torch.equal(task.averaged_by_step[9]["0.weight"], task.raw_by_step[9]["0.weight"])
    late = TinyTask()
    trainer(tmp_path, [Ema(start_step=1000)]).fit(late, loader())
    assert torch.equal(late.averaged.weight, late.network.weight)


def test_every_n_steps_updates_only_then(tmp_path):
    """Oracle: the recursion over every third weight vector only."""
    task = TinyTask()
    first = {k: v.clone() for k, v in task.network.state_dict().items()}
    trainer(tmp_path, [Ema(decay=0.5, warmup=False, every_n_steps=3)]).fit(task, loader())
    expected = recursion(weights_of(task, first, "weight", range(3, 13, 3)), 0.5, warmup=False)
    assert_close(task.averaged.weight, torch.from_numpy(expected).float())
    assert torch.equal(task.averaged_by_step[2]["weight"], first["weight"])


@pytest.mark.parametrize("stop", [2, 3])
def test_an_interrupted_and_resumed_run_ends_bit_identical(tmp_path, stop):
    """Oracle: the same run without an interruption; file written by Snapshot, read with weights_only."""
    straight, resumed = TinyTask(normed_network()), TinyTask(normed_network())
    callback = Ema(decay=0.95)
    trainer(tmp_path / "a", [callback], max_epochs=5).fit(straight, loader(), loader())
    trainer(tmp_path / "b", [Ema(decay=0.95), Snapshot()], max_epochs=stop).fit(resumed, loader(), loader())
    fresh = TinyTask(normed_network())
    again = Ema(decay=0.95)
    trainer(tmp_path / "b", [again, Snapshot()], max_epochs=5).fit(
        fresh, loader(), loader(), ckpt_path=newest(tmp_path / "b"), weights_only=True
    )
    assert again.num_updates == callback.num_updates == 30
    for ours, theirs in ((straight.averaged, fresh.averaged), (straight.network, fresh.network)):
        for name, value in ours.state_dict().items():
            assert torch.equal(theirs.state_dict()[name], value), name


def test_a_second_fit_goes_on_averaging(tmp_path):
    """Two fits of one trainer are one longer run: the average equals the recursion over both."""
    task = TinyTask()
    first = {k: v.clone() for k, v in task.network.state_dict().items()}
    fitter = trainer(tmp_path, [Ema(decay=0.9)], max_epochs=1)
    fitter.fit(task, loader())
    fitter.fit_loop.max_epochs = 2
    fitter.fit(task, loader())
    expected = recursion(weights_of(task, first, "weight", range(1, 13)), 0.9, warmup=True)
    assert_close(task.averaged.weight, torch.from_numpy(expected).float())


def test_a_new_callback_forgets_the_average_of_an_earlier_run(tmp_path):
    """Oracle: the recursion from the weights at which the second training starts."""
    task = TinyTask()
    trainer(tmp_path, [Ema(decay=0.9)]).fit(task, loader())
    first = {name: value.clone() for name, value in task.network.state_dict().items()}
    trainer(tmp_path, [Ema(decay=0.9, warmup=False)]).fit(task, loader())
    expected = recursion(weights_of(task, first, "weight", range(1, 13)), 0.9, warmup=False)
    assert_close(task.averaged.weight, torch.from_numpy(expected).float())


def test_the_recipe_says_which_weights_are_scored_also_when_a_checkpoint_is_loaded(tmp_path):
    task = TinyTask()
    fitter = trainer(tmp_path, [Ema(scored="both"), Snapshot()], max_epochs=1)
    fitter.fit(task, loader(), loader())
    assert task.scored == "both"
    other = TinyTask()
    trainer(tmp_path, [Ema(scored="raw")]).test(
        other, loader(), ckpt_path=newest(tmp_path), weights_only=True, verbose=False
    )
    assert other.scored == "raw"
    assert torch.equal(other.averaged.weight, task.averaged.weight)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_averages_in_float32(tmp_path, precision):
    """Oracle: the float64 recursion at float32 tolerance, which an average in half precision would miss."""
    task = TinyTask()
    first = {k: v.clone() for k, v in task.network.state_dict().items()}
    trainer(tmp_path, [Ema(decay=0.9)], precision=precision).fit(task, loader())
    assert task.averaged.weight.dtype == torch.float32
    expected = recursion(weights_of(task, first, "weight", range(1, 13)), 0.9, warmup=True)
    assert_close(task.averaged.weight, torch.from_numpy(expected).float())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"decay": 1.0}, "decay is 1.0"),
        ({"decay": -0.1}, "decay is -0.1"),
        ({"every_n_steps": 0}, "every_n_steps is 0"),
        ({"start_step": -1}, "start_step is -1"),
        ({"scored": "best"}, "scored is 'best'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(options, named):
    with pytest.raises(UserError, match=named) as error:
        Ema(**options)
    assert "allowed" in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_too_coarse_for_the_decay_are_refused_before_training(tmp_path):
    """bfloat16 has eps 2^-7: an update of 0.001 rounds away, and the average would stay at the start."""
    with pytest.raises(UserError, match=r"too coarse for decay 0\.999"):
        trainer(tmp_path, [Ema()], precision="bf16-true").fit(TinyTask(), loader())
