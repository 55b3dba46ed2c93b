"""Does every callback keep the contract: fit, resume, accumulation, mixed precision, devices, no logger?"""

import importlib
import inspect
import pkgutil
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import lightning_cv.callbacks
from lightning_cv.callbacks.idle_hooks import STEP_HOOKS
from tests.callbacks.tiny import TinyModule, TinyTask, newest, trainer


def found() -> list[type[Callback]]:
    """Every callback class that a module of the package defines."""
    package = lightning_cv.callbacks
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    classes = {
        value
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Callback) and value.__module__ == module.__name__
    }
    return sorted(classes, key=lambda cls: cls.__name__)


CALLBACKS = found()
each_callback = pytest.mark.parametrize("make", CALLBACKS, ids=lambda cls: cls.__name__)

# What a callback may do at each batch; everything else is left to the ends of epochs and evaluations.
ALLOWED_STEP_HOOKS = {
    "AdversarialMonitor": {"on_train_batch_end"},
    "ConfusionMatrix": {"on_validation_batch_end", "on_test_batch_end"},
    "Ema": {"on_train_batch_end"},
    "FoldBatchNorm": {"on_predict_batch_start"},
    "LearningRate": {"on_train_batch_start"},
    "Media": {"on_validation_batch_end", "on_test_batch_end"},
    "Progress": {
        "on_train_batch_end",
        "on_validation_batch_end",
        "on_test_batch_end",
        "on_predict_batch_end",
    },
    "Snapshot": {"on_train_batch_end"},
    "Throughput": {"on_train_batch_end"},
    "WeightPenalty": {"on_before_optimizer_step"},
}


def same(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


def weights_of(task: TinyTask) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(task.network.parameters()).detach()


def test_there_are_callbacks():
    """The package is walked; a suite that finds nothing would prove nothing."""
    assert len(CALLBACKS) >= 6
    assert {cls.__name__ for cls in CALLBACKS} <= set(lightning_cv.callbacks.__all__)


@each_callback
def test_it_survives_fit_validation_test_and_prediction_and_changes_no_weight(tmp_path, make):
    """Oracle: the weights of the same fit without it."""
    task, bare = TinyTask(), TinyTask()
    fitter = trainer(tmp_path, [make()], num_sanity_val_steps=2)
    fitter.fit(task, datamodule=TinyModule())
    trainer(tmp_path, []).fit(bare, datamodule=TinyModule())
    assert torch.equal(weights_of(task), weights_of(bare))
    fitter.validate(task, datamodule=TinyModule(), verbose=False)
    fitter.test(task, datamodule=TinyModule(), verbose=False)
    assert len(fitter.predict(task, datamodule=TinyModule())) == 6


@each_callback
def test_its_state_goes_through_a_checkpoint_and_training_resumes_with_it(tmp_path, make):
    """The state read back (weights_only) is the state written, and a resumed fit ends where a straight one does."""
    first, straight = TinyTask(), TinyTask()
    fitter = trainer(tmp_path, [callback := make()], max_epochs=2)
    fitter.fit(first, datamodule=TinyModule())
    fitter.save_checkpoint(tmp_path / "two.ckpt")
    state = callback.state_dict()
    fresh = make()
    resumed = TinyTask()
    states = []

    class Reader(Callback):
        def on_fit_start(self, trainer, pl_module):
            states.append(deepcopy(fresh.state_dict()))

    again = trainer(tmp_path, [Reader(), fresh], max_epochs=4)
    again.fit(resumed, datamodule=TinyModule(), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    trainer(tmp_path / "other", [make()], max_epochs=4).fit(straight, datamodule=TinyModule())
    assert same(states[0], state)
    assert torch.equal(weights_of(resumed), weights_of(straight))


@each_callback
@pytest.mark.parametrize(
    "options",
    [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"val_check_interval": 0.5}, {"max_steps": 4}],
    ids=lambda options: next(iter(options)),
)
def test_it_runs_in_every_usual_way(tmp_path, make, options):
    fitter = trainer(tmp_path, [make()], **options)
    fitter.fit(TinyTask(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))), datamodule=TinyModule())
    assert fitter.global_step == {"accumulate_grad_batches": 6, "max_steps": 4}.get(next(iter(options)), 12)


@each_callback
def test_it_needs_neither_a_logger_nor_validation_data_and_takes_both(tmp_path, make):
    fitter = trainer(tmp_path / "none", [make()])
    fitter.fit(TinyTask(), datamodule=TinyModule(validates=False))
    logged = trainer(tmp_path / "both", [make()], logger=CSVLogger(tmp_path / "both"))
    logged.fit(TinyTask(), datamodule=TinyModule())
    assert fitter.global_step == logged.global_step == 12


@each_callback
def test_it_does_nothing_in_a_step_beyond_what_is_allowed_here(make):
    """Lightning pays about 1.7 µs for each hook that is not None, six hooks a step and callback."""
    used = {hook for hook in STEP_HOOKS if getattr(make, hook) is not None}
    assert used == ALLOWED_STEP_HOOKS.get(make.__name__, set())


@pytest.mark.slow
def test_all_together_run_on_two_devices_and_agree(tmp_path):
    """Two processes, batch statistics of their own: weights, average and counters are equal, one file is written."""
    parts = [make() for make in CALLBACKS]
    network = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    fitter = trainer(tmp_path, [*parts, Agree()], devices=2, strategy="ddp_fork")
    fitter.fit(TinyTask(network), datamodule=TinyModule())
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert sum("curve" not in line for line in lines) == 3
    assert '"samples_seen": 48' in lines[-1]
    assert (tmp_path / "agreed").read_text() == "2"
    assert newest(tmp_path).is_file()


class Agree(Callback):
    """Compares the two processes' weights, averages and counters at each validation and at the end."""

    def on_validation_end(self, trainer, pl_module):
        own = dict(pl_module.network.named_parameters())
        own |= {f"averaged.{name}": value for name, value in pl_module.averaged.state_dict().items()}
        for name, value in own.items():
            gathered = [torch.empty_like(value) for _ in range(2)]
            torch.distributed.all_gather(gathered, value.detach())
            assert torch.equal(*gathered), name

    def on_train_end(self, trainer, pl_module):
        self.on_validation_end(trainer, pl_module)
        (ema,) = (callback for callback in trainer.callbacks if type(callback).__name__ == "Ema")
        assert ema.num_updates == 6
        if trainer.is_global_zero:
            Path(trainer.default_root_dir, "agreed").write_text(str(trainer.world_size))
