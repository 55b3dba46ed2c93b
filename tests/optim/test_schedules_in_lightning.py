"""Under a real Trainer the rate changes once per optimizer step, and a resume goes on where it stopped."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from lightning_cv.optim import Cosine, Horizon, InverseSqrt, Schedule, Step, TorchSchedule

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*callbacks used to create the checkpoint.*")

EPOCHS, BATCHES, ACCUMULATED = 4, 5, 2
HORIZON = Horizon(total_steps=12, steps_per_epoch=3)  # 5 batches, 2 accumulated: steps after 2, 4 and 5


class Rates(pl.LightningModule):
    """A weight whose training notes the rate of every optimizer step, and whose loss never falls."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.schedule = schedule
        self.rates: list[float] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).mean()

    def validation_step(self, batch: torch.Tensor) -> None:
        self.log("val/loss", 1.0)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return {"optimizer": optimizer, "lr_scheduler": self.schedule.configure(optimizer, HORIZON)}


def fit(schedule: Schedule, *, epochs: int = EPOCHS, resume: str | None = None, keep: bool = False) -> list[float]:
    model = Rates(schedule)
    loader = DataLoader(torch.ones(BATCHES, 1), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accumulate_grad_batches=ACCUMULATED,
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(dirpath=".", save_last=True)] if keep else [],
        enable_checkpointing=keep,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader, loader, ckpt_path=resume)
    return model.rates


@pytest.mark.parametrize(
    "schedule", [Cosine(warmup_steps=2), Step([1, 2.5]), InverseSqrt()], ids=lambda s: type(s).__name__
)
def test_each_optimizer_step_has_its_rate(schedule):
    """rows 117, 118, 120: with accumulation, step t of the optimizer has the rate of the formula at t."""
    expected = [0.1 * schedule.factor(step, HORIZON) for step in range(HORIZON.total_steps)]
    assert fit(schedule) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "schedule", [Cosine(warmup_steps=2), Step([1, 2.5]), InverseSqrt()], ids=lambda s: type(s).__name__
)
def test_a_resumed_training_has_the_rates_of_a_straight_one(schedule):
    """rows 117, 118, 120: two epochs, a checkpoint, two more: every rate as in four epochs at once."""
    first = fit(schedule, epochs=2, keep=True)
    second = fit(schedule, resume="last.ckpt")
    assert first + second == fit(schedule)


def test_a_plateau_of_the_metric_lowers_the_rate():
    """row 116: torch's ReduceLROnPlateau, by its monitor, halves the rate after each epoch without progress."""

    def halve(optimizer: torch.optim.Optimizer) -> ReduceLROnPlateau:
        return ReduceLROnPlateau(optimizer, factor=0.5, patience=0)

    rates = fit(TorchSchedule(halve, monitor="val/loss"))
    assert rates == pytest.approx([0.1] * 6 + [0.05] * 3 + [0.025] * 3)
