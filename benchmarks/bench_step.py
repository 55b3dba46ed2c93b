"""What does the platform add to a training step, over a bare PyTorch loop of the same network?

Three programs train the same network on the same resident data: a bare loop; the platform with
everything on (rich bar, metrics, W&B offline, EMA, cosine schedule, snapshots, early stopping, rates,
throughput); and a typical Lightning set-up with the same information in its curves (self.log of loss and
a metric object each step, EMAWeightAveraging, LearningRateMonitor, rich bar, WandbLogger).
"""

import contextlib
import functools
import io
import logging
import os
import statistics
import tempfile
import time
import warnings
from typing import Any

os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["WANDB_ERROR_REPORTING"] = "false"

import lightning.pytorch as pl
import torch
import torchmetrics
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, RichProgressBar
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv import callbacks
from lightning_cv.contracts import Stage
from lightning_cv.data import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.networks.classify import Mlp
from lightning_cv.optim import Cosine
from lightning_cv.run.profiler import Unprofiled
from lightning_cv.tasks import Classify
from lightning_cv.tracking import WandbTracker

BATCH = 64
CLASSES = 10


class _Clock(pl.Callback):
    """Wall time from the end of step `skip` to the end of the last training step."""

    def __init__(self, skip: int) -> None:
        self._skip, self._start, self._end, self._steps = skip, 0.0, 0.0, 0

    def on_train_batch_end(self, *_: Any) -> None:
        self._steps += 1
        self._end = time.perf_counter()
        if self._steps == self._skip:
            self._start = self._end

    @property
    def per_step_us(self) -> float:
        """Microseconds a step."""
        return (self._end - self._start) / (self._steps - self._skip) * 1e6


class _Images(VisionData):
    """Random uint8 images held in memory."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__(batch_size=BATCH)
        self._images, self._labels = images, labels

    def load(self, stage: Stage) -> ResidentSplit:
        keep = slice(None) if stage is Stage.TRAIN else slice(0, BATCH)
        names = tuple(str(i) for i in range(CLASSES))
        return ResidentSplit(self._images[keep], self._labels[keep], names, f"random {stage}")


class _Typical(pl.LightningModule):
    """What a Lightning tutorial writes: loss and a metric object logged at each step."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network, self._num_steps = network, steps
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=CLASSES, average="micro")

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        scores = self.network(batch[0])
        loss = F.cross_entropy(scores, batch[1])
        self.accuracy(scores, batch[1])
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        self.log("train/accuracy", self.accuracy, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
        scheduler = CosineAnnealingLR(optimizer, T_max=self._num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _bare(network: nn.Module, images: Tensor, labels: Tensor, steps: int, skip: int) -> float:
    """Microseconds a step of the shortest correct loop: shuffle, gather, normalize, step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    mean, scale = images[:256].float().mean(), 1 / images[:256].float().std()
    done, start = 0, 0.0
    while done < steps:
        order = torch.randperm(len(images))
        for part in order.split(BATCH):
            batch = images[part].float().sub_(mean).mul_(scale)
            optimizer.zero_grad()
            F.cross_entropy(network(batch), labels[part]).backward()
            optimizer.step()
            done += 1
            if done == skip:
                start = time.perf_counter()
            if done == steps:
                break
    return (time.perf_counter() - start) / (steps - skip) * 1e6


def _platform(network: nn.Module, images: Tensor, labels: Tensor, steps: int, skip: int) -> float:
    """Microseconds a step with every default callback, metrics and offline tracking."""
    clock = _Clock(skip)
    with tempfile.TemporaryDirectory() as folder:
        task = Classify(network, lambda groups: torch.optim.AdamW(groups, lr=1e-3), schedule=Cosine())
        everything = [
            callbacks.Ema(),
            callbacks.EarlyStopping(patience=10_000),
            callbacks.Snapshot(),
            callbacks.Progress(),
            callbacks.LearningRate(),
            callbacks.Throughput(),
        ]
        tracker = WandbTracker(save_dir=folder, mode="offline")
        options = _options(folder, steps) | {"profiler": Unprofiled()}  # as `lightning-cv fit` sets it
        trainer = pl.Trainer(logger=tracker, callbacks=[*everything, clock], **options)
        trainer.fit(task, datamodule=_Images(images, labels))
        tracker.experiment.finish()
    return clock.per_step_us


def _typical(network: nn.Module, images: Tensor, labels: Tensor, steps: int, skip: int) -> float:
    """Microseconds a step of the typical set-up with the same information in its curves."""
    clock = _Clock(skip)
    floats = images.float().sub_(128).div_(64)
    loader = DataLoader(TensorDataset(floats, labels), batch_size=BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        tracker = WandbLogger(save_dir=folder, offline=True)
        every = [EMAWeightAveraging(), LearningRateMonitor(), RichProgressBar()]
        trainer = pl.Trainer(logger=tracker, callbacks=[*every, clock], **_options(folder, steps))
        trainer.fit(_Typical(network, steps), loader)
        tracker.experiment.finish()
    return clock.per_step_us


def _options(folder: str, steps: int) -> dict[str, Any]:
    return {
        "max_steps": steps,
        "max_epochs": -1,
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": folder,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 50,
    }


def _quiet(measure: Any, *arguments: Any) -> float:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        value: float = measure(*arguments)
    return value


def measure(make_network: Any, shape: tuple[int, ...], *, steps: int, skip: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds a step of the three programs, interleaved; `shape` is (N, C, H, W) of the images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, shape[:1], generator=generator)
    programs = {"bare": _bare, "platform": _platform, "typical": _typical}
    return interleaved(
        {
            name: lambda program=program: _quiet(program, make_network(), images, labels, steps, skip)  # type: ignore[misc]
            for name, program in programs.items()
        },
        rounds=rounds,
    )


def _resnet18() -> nn.Module:
    import torchvision

    network: nn.Module = torchvision.models.resnet18(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def main() -> None:
    """Print the two tables."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    mlp = functools.partial(Mlp, CLASSES, image=(1, 8, 8), hidden=[32])
    tiny = measure(mlp, (64_000, 1, 8, 8), steps=1200, skip=200, rounds=5)
    # More images than the counted steps take: validation and snapshots at an epoch end are not what is measured.
    resnet = measure(_resnet18, (2048, 3, 32, 32), steps=14, skip=2, rounds=5)
    rows = []
    for name, program in {
        "bare PyTorch loop": "bare",
        "lightning_cv, everything on": "platform",
        "typical Lightning set-up": "typical",
    }.items():
        added = statistics.median(a - b for a, b in zip(tiny[program], tiny["bare"], strict=True))
        rows.append(
            (
                name,
                f"{statistics.median(tiny[program]):.0f}",
                f"{added:+.0f}",
                f"{median_ratio(resnet[program], resnet['bare']):.3f}",
            )
        )
    print_table(
        "Cost of a training step",
        ("program", "tiny network, µs a step", "over the bare loop, µs", "ResNet-18 at 32×32, batch 64, × bare loop"),
        rows,
        how="Medians of 5 interleaved rounds in one process (1,000 counted steps each; ResNet-18: 12), differences"
        " and ratios taken round by round.",
    )


if __name__ == "__main__":
    main()
