"""Is the speed what a clock and a count of the images say?"""

import time

import pytest

from lightning_cv.callbacks import Throughput
from tests.callbacks.tiny import TinyTask, loader, trainer


class Clock:
    """A clock that tests move."""

    def __init__(self, monkeypatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)


class Timed(TinyTask):
    """Each training batch takes half a second of the test's clock, each validation 1,000 s."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.logged: list[tuple[int, dict]] = []

    def training_step(self, batch, batch_idx):
        self.clock.now_s += 0.5 if self.trainer.global_step or batch_idx else 50.0
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self):
        self.clock.now_s += 1000.0
        super().on_validation_epoch_end()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        metrics = self.trainer.callback_metrics
        if "throughput/step_ms" in metrics:
            self.logged.append((self.trainer.global_step, dict(metrics)))


@pytest.mark.parametrize(("accumulate", "period"), [(1, 2), (2, 2), (1, 5)])
def test_speed_is_images_over_time_without_validation_and_without_the_first_step(
    tmp_path, monkeypatch, accumulate, period
):
    """Oracle: 4 images every half second are 8 images a second; the first micro-batch took 50 s."""
    task = Timed(Clock(monkeypatch))
    options = {"accumulate_grad_batches": accumulate, "log_every_n_steps": period, "max_epochs": 4}
    trainer(tmp_path, [Throughput()], **options).fit(task, loader(), loader())
    assert task.logged[0][0] == period
    for _, metrics in task.logged:
        assert float(metrics["throughput/images_per_s"]) == pytest.approx(8.0)
        assert float(metrics["throughput/step_ms"]) == pytest.approx(500.0 * accumulate)


def test_nothing_is_logged_between_two_points_of_the_curves(tmp_path, monkeypatch):
    task = Timed(Clock(monkeypatch))
    trainer(tmp_path, [Throughput()], log_every_n_steps=100).fit(task, loader(), loader())
    assert task.logged == []
