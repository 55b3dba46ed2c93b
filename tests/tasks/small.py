"""Tiny data and networks for the tests of tasks."""

import math

import lightning.pytorch as pl
import torch
from torch import nn

from lightning_cv.contracts import IMAGE, INDEX, LABEL, DataInfo, Stage


class Batches:
    """A loader over fixed tensors, in order, the last batch ragged."""

    def __init__(self, images, labels, batch_size):
        self.images, self.labels, self.batch_size = images, labels, batch_size

    def __len__(self):
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self):
        for start in range(0, len(self.images), self.batch_size):
            part = slice(start, start + self.batch_size)
            index = torch.arange(len(self.images))[part]
            yield {IMAGE: self.images[part], LABEL: self.labels[part], INDEX: index}


class TinyData(pl.LightningDataModule):
    """Random images (N, 1, 4, 4) whose label is the sign pattern of two pixels: learnable, 3 classes."""

    def __init__(self, size=20, batch_size=8, num_classes=3):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(size, 1, 4, 4, generator=generator)
        self.labels = (self.images[:, 0, 0, 0] > 0).long() + (self.images[:, 0, 1, 1] > 0).long()
        self.batch_size = batch_size
        self.num_classes = num_classes

    @property
    def info(self):
        return DataInfo(tuple("abcdefgh"[: self.num_classes]), 1, (4, 4), (0.0,), (1.0,))

    def sample_name(self, stage: Stage, index: int) -> str:
        return f"tiny {stage} #{index}"

    def train_dataloader(self):
        return Batches(self.images, self.labels, self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class TinyNet(nn.Module):
    """One linear layer on the flattened pixels."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.fc = nn.Linear(16, num_classes)

    def forward(self, images):
        return self.fc(images.flatten(1))


def sgd(params):
    return torch.optim.SGD(params, lr=0.1)


def trainer(tmp_path, **options):
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": str(tmp_path),
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**(defaults | options))
