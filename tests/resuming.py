"""A small training that can be cut anywhere, and everything that must be the same after it went on.

The suites of resume, signals and kills share it; a task that is added gets a case in `CASES`.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import nn
from torchvision.transforms import v2

from lightning_cv.callbacks import (
    AdversarialMonitor,
    EarlyStopping,
    Ema,
    LearningRate,
    Progress,
    Snapshot,
    Speed,
    Throughput,
)
from lightning_cv.callbacks.randomness import random_state
from lightning_cv.contracts import Stage
from lightning_cv.data import RandomCrop, RandomObjectFlip, Scenes
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.losses import Dice, PixelCrossEntropy
from lightning_cv.networks.detect import FasterRcnn, Pyramid
from lightning_cv.networks.features import TrainedFeatures
from lightning_cv.networks.generate import (
    CycleDiscriminators,
    CycleTranslator,
    DcganDiscriminator,
    DcganGenerator,
    MlpVae,
    PatchDiscriminator,
    PixelCnn,
    UNetTranslator,
    VqVae,
)
from lightning_cv.networks.segment import PanopticFpn, UNet
from lightning_cv.optim import Cosine, Schedule, TorchSchedule
from lightning_cv.record.progress import read_progress
from lightning_cv.tasks import (
    Adversarial,
    Classify,
    CycleTranslate,
    Detect,
    Generate,
    PanopticSegment,
    SampleQuality,
    Segment,
    Translate,
    VisionTask,
)

EPOCHS = 3
BATCHES = 5  # of 8 images, the last one with 5


class Dots(VisionData):
    """37 training and 20 validation images of 8 x 8 random pixels in 3 classes."""

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(int(stage is Stage.TRAIN))
        number = 37 if stage is Stage.TRAIN else 20
        images = torch.randint(256, (number, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return ResidentSplit(images, images[:, 0, 0, 0].long() % 3, ("a", "b", "c"), "Dots")


class TwoKinds(Dots):
    """The same in two classes."""

    def load(self, stage: Stage) -> ResidentSplit:
        dots = super().load(stage)
        return ResidentSplit(dots.images, dots.labels % 2, ("a", "b"), "TwoKinds")


def classifier(schedule: Schedule | None = None) -> VisionTask:
    """Draws (dropout), running statistics, momentum and a schedule: each would show a step that is not the same."""
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 3))
    schedule = schedule or Cosine(warmup_steps=3)
    return Classify(network, lambda groups: torch.optim.AdamW(groups, lr=0.05), schedule=schedule)


def convolutions() -> VisionTask:
    """Weights with four dimensions, which can be laid out in two ways; a fused optimizer minds which."""
    torch.manual_seed(2)
    block = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(2)]
    network = nn.Sequential(*block, nn.Flatten(), nn.Dropout(0.3), nn.Linear(24, 3))
    return Classify(network, lambda groups: torch.optim.AdamW(groups, lr=0.05, fused=True), schedule=Cosine())


def detector() -> VisionTask:
    """Two stages, which draw the regions that they train on."""
    torch.manual_seed(2)
    pyramid = Pyramid("small", channels=16, extra="none")
    network = FasterRcnn(3, pyramid, anchor_sizes=(8, 16, 24, 32), head_width=16, proposals=(20, 10), regions_trained=8)
    return Detect(network, lambda groups: torch.optim.AdamW(groups, lr=0.002), schedule=Cosine(warmup_steps=3))


def segmenter() -> VisionTask:
    """Draws (dropout), running statistics, and two losses of pixels."""
    torch.manual_seed(2)
    network = UNet(5, 3, width=4, levels=3, batch_norm=True, dropout=0.3)
    losses = {"cross_entropy": PixelCrossEntropy(), "dice": Dice()}
    schedule = Cosine(warmup_steps=3)
    return Segment(network, lambda groups: torch.optim.AdamW(groups, lr=0.02), losses=losses, schedule=schedule)


def panoptic() -> VisionTask:
    """Draws regions, and has a second head."""
    torch.manual_seed(2)
    pyramid = Pyramid("small", channels=16, extra="none")
    regions = {"anchor_sizes": (8, 16, 24, 32), "head_width": 16, "proposals": (20, 10), "regions_trained": 8}
    network = PanopticFpn(5, ((2, 5),), pyramid, mask_layers=(8,), stuff_width=8, **regions)
    return PanopticSegment(network, lambda groups: torch.optim.AdamW(groups, lr=0.002), schedule=Cosine(warmup_steps=3))


def generator() -> VisionTask:
    """Draws which features become vectors of a book, which follows running averages; its codes have a density."""
    torch.manual_seed(2)
    prior = PixelCnn((1, 4, 4), levels=8, num_classes=3, width=4, num_layers=1, ordered=False)
    network = VqVae(num_classes=3, num_codes=8, code_width=4, width=4, num_blocks=1, prior=prior)
    return Generate(network, lambda groups: torch.optim.AdamW(groups, lr=0.02), schedule=Cosine(warmup_steps=3))


def adversaries(schedule: Schedule | None = None, **options: Any) -> VisionTask:
    """Two optimizers, of which one steps every second time; running statistics, drawn classes, a lazy penalty."""
    torch.manual_seed(2)
    network = DcganGenerator(num_classes=3, num_latents=4, width=4)
    discriminator = DcganDiscriminator(num_classes=3, width=4, num_halvings=2)
    penalties = {"gradient_penalty": 1.0, "r1": 1.0, "r1_every": 3}
    schedule = schedule or Cosine(warmup_steps=3)
    settings: dict[str, Any] = {"discriminator_steps": 2, "gradient_clip": 1.0, "schedule": schedule, **penalties}
    return Adversarial(network, discriminator, lambda groups: torch.optim.Adam(groups, lr=0.02), **settings, **options)


def translator() -> VisionTask:
    """Pairs of edges and images, of two players with running statistics."""
    torch.manual_seed(2)
    network = UNetTranslator((1, 8, 8), width=4)
    discriminator = PatchDiscriminator((2, 8, 8), width=4, num_halvings=1)
    return Translate(network, discriminator, lambda groups: torch.optim.Adam(groups, lr=0.02), schedule=Cosine())


def cycle() -> VisionTask:
    """Four networks without pairs; a discriminator is shown old images again, of which there are few."""
    torch.manual_seed(2)
    network = CycleTranslator((1, 8, 8), width=4, num_blocks=1, num_halvings=1)
    discriminators = CycleDiscriminators((1, 8, 8), width=4, num_halvings=1)
    adam = partial(torch.optim.Adam, lr=0.02)
    return CycleTranslate(network, discriminators, adam, pool_size=6, schedule=Cosine())


def two_kinds(transforms: list[nn.Module]) -> VisionData:
    """`Dots` in two classes."""
    assert not transforms
    return TwoKinds(batch_size=8)


def judged() -> VisionTask:
    """A generator whose samples are scored by features that were found in the training images."""
    torch.manual_seed(2)
    quality = SampleQuality(TrainedFeatures(steps=2, widths=(4,)), num_samples=6)
    network = MlpVae((1, 8, 8), num_latents=2, width=8, num_classes=3)
    return Generate(network, lambda groups: torch.optim.AdamW(groups, lr=0.02), quality=quality)


def scenes(transforms: list[nn.Module]) -> VisionData:
    """As many small scenes as `Dots` has images, each transformed with its objects."""
    assert not transforms
    options = {"num_train": 37, "num_val": 6, "size_px": 32, "object_px": (12, 20), "max_objects": 2}
    return Scenes(batch_size=8, digits=[0, 1, 2], train_transform=RandomObjectFlip(), **options)


def pixel_scenes(truth: Literal["semantic", "panoptic"], transforms: list[nn.Module]) -> VisionData:
    """As many small scenes as `Dots` has images, of which every pixel is told; crops are drawn for each."""
    assert not transforms
    options = {"num_train": 37, "num_val": 6, "size_px": 40, "object_px": (12, 20), "max_objects": 2, "truth": truth}
    crop, middle = v2.RandomCrop(32), v2.CenterCrop(32)
    return Scenes(batch_size=8, digits=[0, 1, 2], train_transform=crop, eval_transform=middle, **options)


def dots(transforms: list[nn.Module]) -> VisionData:
    """The data of most cases."""
    return Dots(batch_size=8, batch_transforms=transforms)


def with_plateau() -> VisionTask:
    """The rate falls whenever the validation loss does not: after the hooks in which an epoch is saved."""
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0)
    return classifier(TorchSchedule(plateau, monitor="val/loss"))


@dataclass(frozen=True)
class Case:
    """One way to train.

    Args:
        make_task: the task, always with the same weights.
        ema: with averaged weights.
        patience: of early stopping, which the case must bring about; None: no early stopping.
        transforms: makes the batch transforms.
        make_data: from these.
        callbacks: makes further callbacks.
        options: of the Trainer.
    """

    make_task: Callable[[], VisionTask] = classifier
    ema: bool = False
    patience: int | None = None
    transforms: Callable[[], list[nn.Module]] = list
    make_data: Callable[[list[nn.Module]], VisionData] = dots
    callbacks: Callable[[], list[Callback]] = list
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "plain": Case(),
    "ema": Case(ema=True, transforms=lambda: [RandomCrop(2)]),
    "bf16": Case(options={"precision": "bf16-mixed"}),
    "accumulation": Case(ema=True, options={"accumulate_grad_batches": 3}),
    "mixup": Case(transforms=lambda: [v2.MixUp(), RandomCrop(1)]),
    "early_stopping": Case(patience=1, options={"max_epochs": 30}),
    "validation_within_epochs": Case(ema=True, options={"val_check_interval": 2}),
    "validation_every_second_epoch": Case(options={"check_val_every_n_epoch": 2}),
    "plateau": Case(with_plateau, options={"max_epochs": 6}),
    "max_steps": Case(options={"max_steps": 12, "max_epochs": -1}),
    "detect": Case(detector, ema=True, make_data=scenes, options={"max_epochs": 2}),
    "segment": Case(segmenter, ema=True, make_data=partial(pixel_scenes, "semantic"), options={"max_epochs": 2}),
    "generate": Case(generator, ema=True),
    "adversarial": Case(adversaries, ema=True, callbacks=lambda: [AdversarialMonitor(window=2)]),
    "cycle_translate": Case(cycle, make_data=two_kinds),
    "translate": Case(translator, ema=True),
    "adversarial_accumulation": Case(partial(adversaries, accumulate=3)),
    "adversarial_epochs": Case(
        partial(adversaries, TorchSchedule(partial(torch.optim.lr_scheduler.StepLR, step_size=1)))
    ),
    "sample_quality": Case(judged, ema=True),
    "panoptic": Case(panoptic, make_data=partial(pixel_scenes, "panoptic"), options={"max_epochs": 2}),
    "speed": Case(convolutions, ema=True, callbacks=lambda: [Speed(channels_last=True, compile={"backend": "eager"})]),
}


class Draws(Callback):
    """Draws from the generators of Python and NumPy in each step, as a user's own code may."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        random.random()  # noqa: S311 - no secret
        np.random.rand()


@dataclass
class Training:
    """A run that was made: where, and with what it ended."""

    folder: Path
    trainer: Trainer
    task: VisionTask


def train(
    folder: Path, case: Case, *extra: Checkpoint, checkpoint: Path | None = None, snapshot: Snapshot | None = None
) -> Training:
    """Train in this process from the start or from a checkpoint."""
    torch.manual_seed(5)
    task = case.make_task()
    seed_everything(7, verbose=False)
    own = [Draws(), Progress(), LearningRate(), Throughput()]
    callbacks: list[Any] = [*own, *case.callbacks(), snapshot or Snapshot(every_n_steps=1), *extra]
    if case.ema:
        callbacks.append(Ema(decay=0.9))
    if case.patience is not None:
        callbacks.append(EarlyStopping(patience=case.patience, min_delta=0.5))
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": str(folder),
        "logger": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 2,
        "max_epochs": EPOCHS,
        "log_every_n_steps": 2,
    }
    trainer = Trainer(callbacks=callbacks, **(settings | case.options))
    data = case.make_data(case.transforms())
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return Training(folder, trainer, task)


def go_on(folder: Path, case: Case, cut: Path, checkpoint: Path) -> Training:
    """Train on from a checkpoint of another run, in a copy of what that run had written."""
    folder.mkdir(parents=True)
    shutil.copy(cut / "progress.jsonl", folder)
    return train(folder, case, checkpoint=checkpoint)


def end_of(run: Training) -> dict[str, Any]:
    """All that must not depend on whether training was cut."""
    trainer, task = run.trainer, run.task
    optimizers = [optimizer.state_dict() for optimizer in trainer.optimizers]
    return {
        "step": trainer.global_step,
        "weights": task.state_dict(),
        "averaged": task.averaged.state_dict() if task.averaged is not None else None,
        "optimizer": [optimizer["state"] for optimizer in optimizers],
        "groups": [optimizer["param_groups"] for optimizer in optimizers],
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "random": random_state(torch.device("cpu")),
        "best": (Path(trainer.checkpoint_callback.best_model_path).name, trainer.checkpoint_callback.best_model_score),
        "curves": curves(run.folder),
    }


def curves(folder: Path) -> list[dict[str, Any]]:
    """What the run's file says, without what a clock says; points of one step are one."""
    points: list[dict[str, Any]] = []
    for event in read_progress(folder / "progress.jsonl"):
        if event["event"] in ("resume", "end"):
            continue
        values = {k: v for k, v in event["metrics"].items() if not k.startswith("throughput/")}
        point = {k: event[k] for k in ("event", "epoch", "step", "samples_seen")}
        if points and point["event"] == "curve" and points[-1]["point"] == point:
            points[-1]["metrics"] |= values
        elif values or event["event"] != "curve":
            points.append({"point": point, "metrics": values})
    return points


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Where two nested values differ in any bit."""
    if isinstance(left, dict) and isinstance(right, dict):
        found = [f"{path}: keys {left.keys() ^ right.keys()}"] if left.keys() != right.keys() else []
        return found + [d for k in left.keys() & right.keys() for d in differences(left[k], right[k], f"{path}.{k}")]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        found = [f"{path}: lengths {len(left)}, {len(right)}"] if len(left) != len(right) else []
        pairs = zip(left, right, strict=False)
        return found + [d for i, (a, b) in enumerate(pairs) for d in differences(a, b, f"{path}[{i}]")]
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        same = left.dtype == right.dtype and torch.equal(left, right)
        return [] if same else [f"{path}: tensors differ"]
    same = json.dumps(left, default=str) == json.dumps(right, default=str)
    return [] if same else [f"{path}: {left!s:.80} and {right!s:.80}"]


class SaveEverywhere(Checkpoint):
    """Saves in each hook in which a save is possible: `<hook>-<number>.ckpt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[Path] = []

    def _save(self, trainer: Trainer, hook: str) -> None:
        if trainer.sanity_checking or trainer.fit_loop._should_accumulate():
            return
        if trainer.global_step == trainer.max_steps and hook not in ("train_epoch_end", "train_end"):
            return  # Snapshot saves nothing there
        path = self.folder / f"{len(self.saved):03d}-step{trainer.global_step:03d}-{hook}.ckpt"
        trainer.save_checkpoint(path)
        self.saved.append(path)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._save(trainer, "train_batch_end")

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self._save(trainer, "validation_batch_end")

    def on_validation_end(self, trainer, pl_module):
        self._save(trainer, "validation_end")

    def on_train_epoch_end(self, trainer, pl_module):
        self._save(trainer, "train_epoch_end")

    def on_train_end(self, trainer, pl_module):
        self._save(trainer, "train_end")
