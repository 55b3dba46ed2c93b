"""Two processes that train together share each batch, and evaluate every sample exactly once (row 8)."""

import json
import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from lightning_cv.contracts import IMAGE, INDEX
from lightning_cv.data import Digits, RandomCrop
from lightning_cv.data.sampler import ShuffledBatches
from lightning_cv.errors import UserError


class Writer(LightningModule):
    """Each process writes which samples it saw, and the sum of the pixels of its training batches."""

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)
        # Batch normalization: its buffers are synchronized in each step under DDP, in validation too.
        self.layer = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.LazyLinear(1))
        self.seen = {"train": [], "val": [], "test": []}
        self.sums = []

    def _step(self, stage, batch):
        self.seen[stage].append(batch[INDEX].tolist())
        return self.layer(batch[IMAGE]).mean()

    def training_step(self, batch, batch_idx):
        self.sums.append(float(batch[IMAGE].double().sum()))
        return self._step("train", batch)

    def validation_step(self, batch, batch_idx):
        self._step("val", batch)

    def test_step(self, batch, batch_idx):
        self._step("test", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def teardown(self, stage):
        Path(self.folder, f"{stage.value}{self.global_rank}.json").write_text(json.dumps([self.seen, self.sums]))


def train(folder, devices):
    folder.mkdir()
    task = Writer(folder)
    task.layer(torch.zeros(2, 1, 8, 8))
    data = Digits(batch_size=100, batch_transforms=[RandomCrop(1)], shuffle_seed=3)
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_spawn" if devices > 1 else "auto",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data)
    fit = [json.loads((folder / f"fit{rank}.json").read_text()) for rank in range(devices)]
    test = [json.loads((folder / f"test{rank}.json").read_text()) for rank in range(devices)]
    return fit, test


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_see_what_one_sees(tmp_path):
    """1,294 training, 144 validation and 359 test samples in batches of 100: each last batch is ragged."""
    (alone,), _ = train(tmp_path / "one", 1)
    (first, second), tested = train(tmp_path / "two", 2)
    for a, b, whole in zip(first[0]["train"], second[0]["train"], alone[0]["train"], strict=True):
        assert a + b == whole
        assert abs(len(a) - len(b)) <= 1
    for a, b, whole in zip(first[1], second[1], alone[1], strict=True):
        assert a + b == pytest.approx(whole, rel=1e-6), "the same augmentation on either device"
    for stage, results, num_samples in (("val", (first, second), 144), ("test", tested, 359)):
        seen = [index for seen, _ in results for batch in seen[stage] for index in batch]
        assert sorted(seen) == list(range(num_samples))


def test_the_order_of_training_is_that_of_the_sampler(tmp_path):
    (alone,), _ = train(tmp_path / "one", 1)
    assert alone[0]["train"] == [batch.tolist() for batch in ShuffledBatches(1294, 100, seed=3)]


def test_a_batch_that_the_devices_cannot_share_is_refused_at_setup():
    """Both numbers, and the nearest batch sizes that can be shared."""

    class Pretend:
        world_size = 3

    for batch_size, near in ((64, "63 or 66"), (2, "3")):
        data = Digits(batch_size=batch_size)
        data.trainer = Pretend()
        said = f"batch_size: {batch_size} given for 3 devices together, allowed: multiples of 3 (next: {near})"
        with pytest.raises(UserError, match=re.escape(said) + "$"):
            data.setup("fit")
