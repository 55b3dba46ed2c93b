"""Do the files hold the weights that they are named for?"""

import hashlib
import math
import threading

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from lightning_cv.callbacks import Ema, Snapshot
from lightning_cv.errors import UserError
from tests.callbacks.tiny import TinyTask, loader, newest, trainer

LAST = "last x 2"
PEAK = [0.1, 0.9, 0.4, 0.8, 0.2]  # the best is epoch 1: step 12


def digest(weights: dict[str, torch.Tensor]) -> str:
    content = b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(weights.items()))
    return hashlib.sha256(content).hexdigest()


def files(folder) -> list[str]:
    """The names of the best files, and how many of the newest there are."""
    names = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt"))
    return [name for name in names if name.startswith("best")] + [f"last x {sum('last' in name for name in names)}"]


def load(path) -> dict:
    return torch.load(path, weights_only=True)


def test_the_best_file_holds_the_weights_of_the_best_validation_and_test_uses_them(tmp_path):
    """row 122: the hash of the restored weights is that of the weights recorded after the step of the
    script's maximum, and `ckpt_path="best"` restores them."""
    task = TinyTask(script=PEAK)
    fitter = trainer(tmp_path, [Snapshot()], max_epochs=5)
    fitter.fit(task, loader(), loader())
    assert files(tmp_path) == ["best-epoch001-step000012.ckpt", LAST]
    saved = load(tmp_path / "checkpoints/best-epoch001-step000012.ckpt")["state_dict"]
    expected = digest({f"network.{name}": value for name, value in task.raw_by_step[12].items()})
    assert digest(saved) == expected
    assert digest(dict(task.state_dict())) != expected
    fitter.test(task, loader(), ckpt_path="best", weights_only=True, verbose=False)
    assert digest(dict(task.state_dict())) == expected


def test_the_averaged_weights_of_the_best_validation_are_kept_with_it(tmp_path):
    """row 122, for the weights that were scored."""
    task = TinyTask(script=PEAK)
    trainer(tmp_path, [Ema(decay=0.9), Snapshot()], max_epochs=5).fit(task, loader(), loader())
    saved = load(tmp_path / "checkpoints/best-epoch001-step000012.ckpt")["averaged_network"]
    assert digest(saved) == digest(task.averaged_by_step[12])


def test_the_last_file_is_the_end_of_training_also_when_the_metric_only_fell(tmp_path):
    """Lightning's own save_last would keep the weights of epoch 0 here."""
    task = TinyTask(script=[0.9, 0.8, 0.7, 0.6])
    trainer(tmp_path, [Snapshot()], max_epochs=4).fit(task, loader(), loader())
    last = load(newest(tmp_path))
    assert last["global_step"] == 24
    assert digest(last["state_dict"]) == digest(dict(task.state_dict()))
    assert files(tmp_path) == ["best-epoch000-step000006.ckpt", LAST]


def test_k_best_are_kept(tmp_path):
    """Oracle: the script sorted."""
    task = TinyTask(script=PEAK)
    trainer(tmp_path, [Snapshot(save_top_k=2, keep_last=0)], max_epochs=5).fit(task, loader(), loader())
    assert files(tmp_path) == ["best-epoch001-step000012.ckpt", "best-epoch003-step000024.ckpt", "last x 0"]


def test_a_metric_that_should_fall_keeps_its_minimum(tmp_path):
    task = TinyTask(script=PEAK)
    snapshot = Snapshot(monitor="val/score", mode="min")
    trainer(tmp_path, [snapshot], max_epochs=5).fit(task, loader(), loader())
    assert files(tmp_path) == ["best-epoch000-step000006.ckpt", LAST]


def test_without_validation_data_the_last_weights_are_saved_each_epoch(tmp_path):
    task = TinyTask()
    trainer(tmp_path, [Snapshot()], max_epochs=2).fit(task, loader())
    assert files(tmp_path) == [LAST]
    assert load(newest(tmp_path))["global_step"] == 12


class PowerCut(Callback):
    """Ends training with an error at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")


def test_the_last_file_is_written_every_n_steps_too(tmp_path):
    """The oracle is the run itself, stopped by an error in step 5: the file is that of step 4."""
    task = TinyTask()
    with pytest.raises(RuntimeError, match="power cut"):
        trainer(tmp_path, [PowerCut(5), Snapshot(every_n_steps=2)]).fit(task, loader(), loader())
    last = load(newest(tmp_path))
    assert last["global_step"] == 4
    assert torch.equal(last["state_dict"]["network.weight"], task.raw_by_step[4]["weight"])


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The good files of before stay as they are, and one warning says so."""

    class Poison(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                with torch.no_grad():
                    pl_module.network.bias[0] = math.nan

    task = TinyTask(script=[0.1, 0.2, 0.3, 0.4])
    with pytest.warns(UserWarning, match="not finite and are not saved") as warned:
        trainer(tmp_path, [Poison(), Snapshot()], max_epochs=4).fit(task, loader(), loader())
    assert len([w for w in warned if "not saved" in str(w.message)]) == 1
    assert files(tmp_path) == ["best-epoch001-step000012.ckpt", LAST]
    for path in [tmp_path / "checkpoints" / files(tmp_path)[0], newest(tmp_path)]:
        weights = load(path)["state_dict"]
        assert digest(weights) == digest({f"network.{k}": v for k, v in task.raw_by_step[12].items()})


def test_steps_that_end_after_a_validation_do_not_pass_for_the_best_of_it(tmp_path):
    """14 steps: the metric of step 12 says nothing about the weights of step 14."""
    task = TinyTask(script=PEAK)
    fitter = trainer(tmp_path, [Snapshot(save_top_k=3)], max_steps=14, max_epochs=-1)
    fitter.fit(task, loader(), loader())
    best = ["best-epoch000-step000006.ckpt", "best-epoch001-step000012.ckpt"]
    assert files(tmp_path) == [*best, LAST]
    assert load(newest(tmp_path))["global_step"] == 14


def test_validations_within_an_epoch_are_kept_with_their_step(tmp_path):
    task = TinyTask(script=PEAK)
    fitter = trainer(tmp_path, [Snapshot()], max_epochs=2, val_check_interval=0.5)
    fitter.fit(task, loader(), loader())
    assert files(tmp_path) == ["best-epoch000-step000006.ckpt", LAST]
    with pytest.raises(RuntimeError, match="power cut"):
        trainer(tmp_path / "cut", [PowerCut(4), Snapshot()], val_check_interval=0.5).fit(
            TinyTask(script=PEAK), loader(), loader()
        )
    assert load(newest(tmp_path / "cut"))["global_step"] == 3


def test_validation_every_second_epoch_keeps_its_best_and_the_last_of_each_epoch(tmp_path):
    task = TinyTask(script=[0.5, 0.4])
    fitter = trainer(tmp_path, [Snapshot()], max_epochs=5, check_val_every_n_epoch=2)
    fitter.fit(task, loader(), loader())
    assert files(tmp_path) == ["best-epoch001-step000012.ckpt", LAST]
    assert load(newest(tmp_path))["global_step"] == 30


def test_a_resumed_run_knows_its_best(tmp_path):
    """row 122: interrupted after the peak, the file of before stays the best and the only one."""
    trainer(tmp_path, [Snapshot()], max_epochs=3).fit(TinyTask(script=PEAK), loader(), loader())
    snapshot = Snapshot()
    fitter = trainer(tmp_path, [snapshot], max_epochs=5)
    fitter.fit(TinyTask(script=PEAK), loader(), loader(), ckpt_path=newest(tmp_path), weights_only=True)
    assert files(tmp_path) == ["best-epoch001-step000012.ckpt", LAST]
    assert snapshot.best_model_score == pytest.approx(0.9)
    assert load(newest(tmp_path))["global_step"] == 30


def test_an_unknown_metric_is_named_with_those_that_exist(tmp_path):
    with pytest.raises(UserError, match=r"'val/acc'.*val/loss, val/score"):
        trainer(tmp_path, [Snapshot(monitor="val/acc", mode="max")]).fit(TinyTask(), loader(), loader())


@pytest.mark.parametrize(
    ("options", "named"),
    [({"save_top_k": -2}, "save_top_k is -2"), ({"every_n_epochs": 0}, "every_n_epochs"), ({"mode": "up"}, "'up'")],
)
def test_a_wrong_value_is_named(options, named):
    with pytest.raises(UserError, match=named):
        Snapshot(**options)


def test_who_saves_by_hand_finds_the_file_at_once(tmp_path, monkeypatch):
    """Only the snapshots of training are written in the background; the writer is held back to show it."""
    real = torch.save
    monkeypatch.setattr(torch, "save", lambda *a, **k: (threading.Event().wait(0.3), real(*a, **k)))
    fitter = trainer(tmp_path, [Snapshot()], max_epochs=1)
    fitter.fit(TinyTask(), loader(), loader())
    fitter.save_checkpoint(tmp_path / "mine.ckpt")
    assert load(tmp_path / "mine.ckpt")["global_step"] == 6
