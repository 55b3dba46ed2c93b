"""Do the callbacks and the platform's own task agree on what is averaged, scored, saved and restored?"""

import json

import torch
from torch import nn

from lightning_cv.callbacks import EarlyStopping, Ema, LearningRate, Progress, Snapshot, Throughput
from lightning_cv.tasks import Classify
from tests.callbacks.tiny import TinyData, loader, newest, trainer
from tests.tolerances import assert_close


def classifier() -> Classify:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    return Classify(network, lambda parameters: torch.optim.SGD(parameters, lr=0.2, momentum=0.9))


def callbacks(**ema: str) -> list:
    return [Ema(decay=0.9, **ema), EarlyStopping(), Snapshot(), Progress(), LearningRate(), Throughput()]


def loss_of(network: nn.Module) -> torch.Tensor:
    data = TinyData()
    with torch.no_grad():
        return nn.functional.cross_entropy(network.eval()(data.images), data.labels)


def test_both_weights_are_scored_and_written(tmp_path):
    """Oracle: the loss of each network over the whole validation set, computed here."""
    task = classifier()
    fitter = trainer(tmp_path, callbacks(scored="both"), max_epochs=3)
    fitter.fit(task, loader(), loader())
    assert_close(fitter.callback_metrics["val/loss"].float(), loss_of(task.averaged))
    assert_close(fitter.callback_metrics["val_raw/loss"].float(), loss_of(task.network))
    last = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    names = {"train/loss", "val/accuracy", "val_raw/loss", "throughput/step_ms"}
    assert names <= last["metrics"].keys()
    assert any(name.startswith("lr/") for name in last["metrics"])


def test_a_resumed_run_and_a_test_of_its_snapshot_use_the_same_average(tmp_path):
    """rows 121, 122: straight and interrupted runs end bit-identical; testing the best file restores its average."""
    straight, resumed = classifier(), classifier()
    trainer(tmp_path / "a", callbacks(), max_epochs=4).fit(straight, loader(), loader())
    trainer(tmp_path / "b", callbacks(), max_epochs=2).fit(classifier(), loader(), loader())
    fitter = trainer(tmp_path / "b", callbacks(), max_epochs=4)
    last = newest(tmp_path / "b")
    fitter.fit(resumed, loader(), loader(), ckpt_path=last, weights_only=True)
    for name, value in straight.averaged.state_dict().items():
        assert torch.equal(resumed.averaged.state_dict()[name], value), name
    best = torch.load(fitter.checkpoint_callback.best_model_path, weights_only=True)
    fresh = classifier()
    tester = trainer(tmp_path / "b", callbacks())
    tester.test(fresh, loader(), ckpt_path=fitter.checkpoint_callback.best_model_path, weights_only=True, verbose=False)
    assert torch.equal(fresh.averaged.state_dict()["0.weight"], best["averaged_network"]["0.weight"])
    assert_close(tester.callback_metrics["test/loss"].float(), loss_of(fresh.averaged))
