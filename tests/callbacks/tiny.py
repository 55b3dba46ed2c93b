"""A task, data and a trainer small enough that a fit costs a fraction of a second."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_cv.contracts import DataInfo, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning.pytorch.callbacks import Callback


class TinyData(Dataset):
    """24 fixed images of 4 values with labels 0 to 2."""

    def __init__(self, size: int = 24) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(size, 4, generator=generator)
        self.labels = torch.randint(3, (size,), generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.images[index], "label": self.labels[index]}


def loader(size: int = 24, batch_size: int = 4) -> DataLoader:
    return DataLoader(TinyData(size), batch_size=batch_size)


class TinyModule(LightningDataModule):
    """The same data as a data module that says what it holds, as those of the platform do."""

    info = DataInfo(("a", "b", "c"), channels=1, size_px=(1, 4), mean=(0.0,), std=(1.0,))

    def __init__(self, validates: bool = True) -> None:
        super().__init__()
        self.validates = validates

    def sample_name(self, stage: Stage, index: int) -> str:
        return f"tiny {stage} #{index}"

    def train_dataloader(self) -> DataLoader:
        return loader()

    def val_dataloader(self) -> DataLoader | list:
        return loader() if self.validates else []

    test_dataloader = predict_dataloader = train_dataloader


class TinyTask(LightningModule):
    """Fulfils `TrainableTask`; `script` replaces `val/score` by given numbers, one a validation."""

    monitor = "val/score"
    mode = "max"

    def __init__(self, network: nn.Module | None = None, script: Sequence[float] = (), lr: float = 0.1) -> None:
        super().__init__()
        generator_state = torch.get_rng_state()
        torch.manual_seed(3)
        self.network = network or nn.Linear(4, 3)
        torch.set_rng_state(generator_state)
        self.averaged: nn.Module | None = None
        self.scored = "averaged"
        self.script = list(script)
        self.lr = lr
        self.validations = 0
        self.raw_by_step: dict[int, dict[str, torch.Tensor]] = {}
        self.averaged_by_step: dict[int, dict[str, torch.Tensor]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "averaged":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.network(batch["image"]), batch["label"])
        if self.trainer.global_step % 2 == 0:
            self.log("train/loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = self.trainer.global_step
        self.raw_by_step[step] = _copied(self.network)
        if self.averaged is not None:
            self.averaged_by_step[step] = _copied(self.averaged)

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        return self.score("val", batch)

    def test_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        return self.score("test", batch)

    def score(self, stage: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        predictions = (self.averaged or self.network)(batch["image"])
        self.log(f"{stage}/loss", nn.functional.cross_entropy(predictions, batch["label"]))
        return {"predictions": predictions, "targets": batch["label"]}

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            return
        score = self.script[self.validations] if self.script else float(self.validations)
        self.validations += 1
        self.log("val/score", score, prog_bar=True)

    def predict_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        return (self.averaged or self.network)(batch["image"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=self.lr, momentum=0.9)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = self.validations
        if self.averaged is not None:
            checkpoint["averaged_network"] = self.averaged.state_dict()
            checkpoint["scored"] = self.scored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validations = checkpoint["validations"]
        if "averaged_network" in checkpoint:
            self.averaged = deepcopy(self.network)
            self.averaged.load_state_dict(checkpoint["averaged_network"])
            self.scored = checkpoint["scored"]


def _copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def trainer(folder: Path, callbacks: Sequence[Callback], **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": folder,
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": any(type(c).__name__ == "Progress" for c in callbacks),
        "enable_checkpointing": any(type(c).__name__ == "Snapshot" for c in callbacks),
        "num_sanity_val_steps": 0,
        "max_epochs": 2,
        "log_every_n_steps": 2,
    }
    return Trainer(callbacks=list(callbacks), **{**settings, **options})


def newest(run: Path) -> Path:
    """The newest `last-*` file of a run."""
    return max((run / "checkpoints").glob("last-*.ckpt"), key=lambda path: path.name)
