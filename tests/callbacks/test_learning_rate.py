"""Is every group's learning rate logged as it was in the step that is logged?"""

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from lightning_cv.callbacks import LearningRate
from tests.callbacks.tiny import TinyTask, loader, trainer


class Scheduled(TinyTask):
    """Two groups; the rate is 0.5 / step for the first, a hundredth of it for the second."""

    def configure_optimizers(self):
        network = self.network
        groups = [
            {"params": [network.weight], "name": "head", "lr": 0.5},
            {"params": [network.bias], "name": "backbone", "lr": 0.005},
        ]
        optimizer = torch.optim.SGD(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Kept(CSVLogger):
    """Keeps what is logged."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.rows: list[tuple[int, dict]] = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_group_is_logged_by_its_name_with_the_rate_of_that_step(tmp_path, accumulate):
    """Oracle: the formula 0.5 / s in step s; every third step, however many micro-batches make one."""
    logger = Kept(tmp_path)
    options = {"accumulate_grad_batches": accumulate, "log_every_n_steps": 3, "logger": logger}
    trainer(tmp_path, [LearningRate()], **options).fit(Scheduled(), loader())
    rows = [(step, row) for step, row in logger.rows if "lr/head" in row]
    assert [step for step, _ in rows] == list(range(3, 12 // accumulate + 1, 3))
    for step, row in rows:
        assert row["lr/head"] == pytest.approx(0.5 / step)
        assert row["lr/backbone"] == pytest.approx(0.005 / step)


def test_a_single_nameless_group_is_called_lr(tmp_path):
    logger = Kept(tmp_path)
    trainer(tmp_path, [LearningRate()], logger=logger).fit(TinyTask(lr=0.25), loader())
    assert (2, {"lr": 0.25}) in logger.rows


def test_nameless_groups_are_called_by_number(tmp_path):
    class Nameless(TinyTask):
        def configure_optimizers(self):
            return torch.optim.SGD([{"params": [p], "lr": 0.1} for p in self.network.parameters()])

    fitter = trainer(tmp_path, [LearningRate()])
    fitter.fit(Nameless(), loader())
    assert {name for name in fitter.callback_metrics if name.startswith("lr")} == {"lr/0", "lr/1"}


def test_without_curves_nothing_is_logged(tmp_path):
    logger = Kept(tmp_path)
    trainer(tmp_path, [LearningRate()], logger=logger, log_every_n_steps=0).fit(TinyTask(), loader())
    assert logger.rows == []
