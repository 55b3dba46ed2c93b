"""Two processes score and train exactly as one does, for every size of the data (row 8).

A task that is added gets a case in `CASES`: how to make it, labels for it, and what scikit-learn says of its scores.
"""

from __future__ import annotations

import csv
import inspect
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from sklearn import metrics as sk
from torch import nn

import lightning_cv.tasks
from lightning_cv.callbacks import ConfusionMatrix, Ema, Media
from lightning_cv.contracts import Stage
from lightning_cv.data import RandomCrop
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.losses import BinaryCrossEntropy
from lightning_cv.run.predictions import write_predictions
from lightning_cv.tasks import Classify, VisionTask
from tests.processes import fork_ranks, status_of, with_one_and_two
from tests.tolerances import assert_close

BATCH = 4
HUNG_S = 300  # after which processes that wait for each other are killed
SIZES = range(1, 2 * BATCH + 2)
NUM_CLASSES = 7
SGD = torch.optim.SGD


def network(num_scores: int, *, with_buffers: bool = True) -> nn.Module:
    """Pixels to scores; with buffers, which DDP gives to every process in each batch that it sees."""
    torch.manual_seed(4)
    first = nn.BatchNorm2d(1, momentum=0.0) if with_buffers else nn.Conv2d(1, 1, 1)
    return nn.Sequential(first, nn.Flatten(), nn.Linear(16, num_scores))


def class_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, top-5, cross-entropy and calibration error (Guo et al. 2017, eq. 3) of (N, C) logits."""
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    every = np.arange(logits.shape[1])
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    bins = np.ceil(confidence * 15)
    gaps = [abs((predicted == labels)[bins == b].sum() - confidence[bins == b].sum()) for b in range(1, 16)]
    values = {
        "loss": sk.log_loss(labels, probabilities, labels=every),
        "accuracy": sk.accuracy_score(labels, predicted),
        "calibration_error": sum(gaps) / len(labels),
    }
    if len(every) > 5:
        values["top5"] = sk.top_k_accuracy_score(labels, probabilities, k=5, labels=every)
    return values


def binary_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return class_scores(np.concatenate([np.zeros_like(logits), logits], axis=1), labels)


def multilabel_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    probabilities, predicted = 1 / (1 + np.exp(-logits)), (logits > 0).astype(int)
    labels = labels.astype(int)
    present = labels.any(0)
    precisions = [sk.average_precision_score(labels[:, c], probabilities[:, c]) for c in np.flatnonzero(present)]
    return {
        "loss": np.mean(
            [sk.log_loss(labels[:, c], probabilities[:, c], labels=[0, 1]) for c in range(labels.shape[1])]
        ),
        "accuracy": 1 - sk.hamming_loss(labels, predicted),
        "exact_match": sk.accuracy_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted, average="macro", zero_division=0),
        "map": np.mean(precisions) if present.any() else np.nan,
    }


@dataclass(frozen=True)
class Case:
    """One task.

    Args:
        make_task: from a network.
        num_scores: of the network.
        label: labels of images (N, 1, 4, 4) uint8.
        oracle: what the scores of a set should be, from (N, num_scores) scores and the labels.
        num_classes: of the data.
    """

    make_task: Callable[[nn.Module], VisionTask]
    num_scores: int
    label: Callable[[torch.Tensor], torch.Tensor]
    oracle: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    num_classes: int = NUM_CLASSES

    @property
    def multilabel(self) -> bool:
        return self.label(torch.zeros(1, 1, 4, 4, dtype=torch.uint8)).ndim == 2


def sgd(groups: Any) -> torch.optim.Optimizer:
    return SGD(groups, lr=0.0)


CASES = {
    "classify": Case(
        lambda net: Classify(net, sgd), NUM_CLASSES, lambda x: x[:, 0, 0, 0].long() % NUM_CLASSES, class_scores
    ),
    "binary": Case(
        lambda net: Classify(net, sgd, loss=BinaryCrossEntropy()),
        1,
        lambda x: x[:, 0, 0, 0].long() % 2,
        binary_scores,
        num_classes=2,
    ),
    "multilabel": Case(
        lambda net: Classify(net, sgd, loss=BinaryCrossEntropy(), multilabel=True),
        3,
        lambda x: (x[:, 0, 0, :3] > 127).float(),
        multilabel_scores,
        num_classes=3,
    ),
}
each_case = pytest.mark.parametrize("name", CASES)


class Sized(VisionData):
    """Random pixels: training sets of one size, all other sets of another."""

    def __init__(self, case: Case, *, train: int, others: int, **shared: Any) -> None:
        super().__init__(batch_size=BATCH, **shared)
        self.case, self.sizes = case, {Stage.TRAIN: train}
        self.others = others

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(list(Stage).index(stage))
        number = self.sizes.get(stage, self.others)
        images = torch.randint(256, (number, 1, 4, 4), generator=generator, dtype=torch.uint8)
        names = tuple("abcdefg"[: self.case.num_classes])
        return ResidentSplit(images, self.case.label(images), names, "Sized")


def trainer(folder: Path, devices: int, *callbacks: Callback, **options: Any) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "devices": devices,
        "strategy": "ddp" if devices > 1 else "auto",
        "default_root_dir": folder,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 1,
        "max_epochs": 1,
    }
    return Trainer(callbacks=list(callbacks), **(settings | options))


def score(folder: Path, case: Case, *, size: int, devices: int) -> None:
    """Validate within a training, test and predict sets of `size`; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    task = case.make_task(network(case.num_scores))
    counts = [] if case.multilabel else [ConfusionMatrix(on_validation=True)]
    runner = trainer(folder, devices, Ema(scored="both"), Media(every_n_epochs=1), *counts)
    data = Sized(case, train=2 * BATCH, others=size, normalize=False)
    runner.fit(task, datamodule=data)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    predicted = runner.predict(task, datamodule=data)
    write_predictions(folder / "predictions.csv", predicted or [], task=task, data=data)
    if runner.is_global_zero:
        (folder / "found.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """What one process and the first of two found, by case and size: one pair of processes for everything."""
    folder = tmp_path_factory.mktemp("scored")

    def every(devices: int) -> None:
        for name, case in CASES.items():
            for size in SIZES:
                score(folder / str(devices) / f"{name}-{size}", case, size=size, devices=devices)

    with_one_and_two(every)
    return folder


def found(folder: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((folder / "found.json").read_text())
    return {name: value for name, value in values.items() if not name.startswith("train/")}


@pytest.mark.parametrize("size", SIZES)
@each_case
@pytest.mark.filterwarnings("ignore:.*y_true.*", "ignore:No positive class")
def test_scores_are_those_of_one_process_and_of_scikit_learn(scored, name, size):
    """Every metric of validation (both kinds of weights) and test, for sets of 1 to 2 batches + 1.

    Among them are sets with no sample for one of the processes, and batches that are shared unevenly.
    """
    one, two = (found(scored / devices / f"{name}-{size}") for devices in "12")
    case = CASES[name]
    data = Sized(case, train=BATCH, others=size)
    net = case.make_task(network(case.num_scores)).network.double().eval()
    expected = {}
    for stage in (Stage.VAL, Stage.TEST):
        split = data.load(stage)
        with torch.no_grad():
            logits = net(split.images.double() / 255).numpy()
        values = case.oracle(logits, split.labels.numpy())
        expected |= {f"{group}/{metric}": v for metric, v in values.items() for group in (stage, f"{stage}_raw")}
    assert two == pytest.approx(one, rel=1e-6, nan_ok=True)
    assert two == pytest.approx(expected, rel=2e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("size", SIZES)
@each_case
def test_tables_and_pictures_are_those_of_one_process(scored, name, size):
    """Predictions in the order of the data, counts, and every picture byte for byte."""
    one, two = (scored / devices / f"{name}-{size}" for devices in "12")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.suffix in (".csv", ".png"))
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.suffix in (".csv", ".png"))
    assert len([path for path in files if path.suffix == ".png"]) >= 2
    for path in files:
        if path.name != "predictions.csv":
            assert (one / path).read_bytes() == (two / path).read_bytes(), path
    first, second = (list(csv.reader((folder / "predictions.csv").open())) for folder in (one, two))
    assert len(second) == size + 1
    assert [row[:2] for row in first] == [row[:2] for row in second]
    numbers = [[float(value) for row in rows[1:] for value in row[2:]] for rows in (first, second)]
    assert numbers[1] == pytest.approx(numbers[0], abs=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_counts_are_those_of_scikit_learn(scored, size):
    """The confusion matrix of the test set as written by two processes."""
    case = CASES["classify"]
    split = Sized(case, train=BATCH, others=size).load(Stage.TEST)
    net = network(case.num_scores).double().eval()
    expected = sk.confusion_matrix(
        split.labels, net(split.images.double() / 255).argmax(1), labels=np.arange(NUM_CLASSES)
    )
    rows = list(csv.reader((scored / "2" / f"classify-{size}" / "confusion_matrix_test.csv").open()))
    assert [[int(count) for count in row[1:]] for row in rows[1:]] == expected.tolist()


class Gradients(Callback):
    """Keeps the gradients of every optimizer step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.steps.append({name: p.grad.clone() for name, p in pl_module.named_parameters()})


def gradients(folder: Path, case: Case, *, devices: int, way: str) -> dict[int, list[dict[str, torch.Tensor]]]:
    """Those of all steps of an epoch, by the size of the training set."""
    by_size = {}
    for size in range(2, SIZES.stop):
        task = case.make_task(network(case.num_scores, with_buffers=False))
        kept = Gradients()
        options = {"accumulate_grad_batches": 2} if way == "accumulated" else {}
        runner = trainer(folder, devices, kept, limit_val_batches=0, **options)
        transform = nn.Identity() if way == "by sample" else None
        shared = {"batch_transforms": [RandomCrop(1)], "shuffle_seed": 3, "train_transform": transform}
        data = Sized(case, train=size, others=2, normalize=False, **shared)
        runner.fit(task, datamodule=data)
        by_size[size] = kept.steps
    return by_size


@pytest.mark.parametrize("way", ["by batch", "by sample", "accumulated"])
@each_case
def test_gradients_are_those_of_one_process(tmp_path, name, way):
    """The mean over the samples of all processes, also in a last batch that they share unevenly.

    Where the last batch is one sample it is left out, since one process would get none of it.
    """
    case = CASES[name]

    def two(rank: int) -> None:
        signal.alarm(HUNG_S)
        torch.save(gradients(tmp_path, case, devices=2, way=way), tmp_path / f"{rank}.pt")

    assert [status_of(child) for child in fork_ranks(2, two)] == [0, 0]
    expected = gradients(tmp_path, case, devices=1, way=way)
    uneven = 0
    for rank in range(2):
        for size, steps in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            left_out = size % BATCH == 1
            if way == "accumulated" and left_out:
                continue  # it would be the second half of a step
            assert len(steps) == len(expected[size]) - left_out
            uneven += size % BATCH == 3
            for step, whole in zip(steps, expected[size], strict=False):
                for parameter, gradient in step.items():
                    assert gradient.abs().max() > 0
                    assert_close(gradient, whole[parameter])
    assert uneven == 4


class Statistics(Callback):
    """Keeps a process's running means behind the last batch of training and within the validation."""

    def __init__(self) -> None:
        self.trained, self.validated = torch.tensor(0.0), torch.tensor(0.0)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.trained = pl_module.network[0].running_mean.clone()

    def on_validation_epoch_end(self, trainer, pl_module):
        self.validated = pl_module.network[0].running_mean.clone()


@pytest.mark.parametrize("size", [1, 8])
def test_both_processes_score_with_the_statistics_of_the_first_one(tmp_path, size):
    """Each has seen other samples in the last batch of training; of one validation sample one process gets none."""
    case = CASES["classify"]

    def two(rank: int) -> None:
        signal.alarm(HUNG_S)
        net = network(case.num_scores)
        net[0].momentum = 0.5
        kept = Statistics()
        runner = trainer(tmp_path, 2, kept, num_sanity_val_steps=0)
        runner.fit(case.make_task(net), datamodule=Sized(case, train=2 * BATCH, others=size, normalize=False))
        torch.save([kept.trained, kept.validated], tmp_path / f"{rank}.pt")

    assert [status_of(child) for child in fork_ranks(2, two)] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], first[0])
    assert torch.equal(second[1], first[0])


def test_every_task_has_a_case():
    tasks = {
        task
        for task in vars(lightning_cv.tasks).values()
        if inspect.isclass(task) and issubclass(task, VisionTask) and not inspect.isabstract(task)
    }
    assert tasks
    # What a detector trains on it draws, and a segmentation has pixels that nobody knows, each device by itself: their
    # scores are compared in test_detect_ddp.py and test_segment_ddp.py; generative networks in test_generate_ddp.py,
    # and those that train against others in test_adversarial_ddp.py.
    drawing = ("Generate", "Adversarial", "Translate", "CycleTranslate")
    elsewhere = {getattr(lightning_cv.tasks, name) for name in ("Detect", "Segment", "PanopticSegment", *drawing)}
    assert tasks - elsewhere == {type(case.make_task(network(case.num_scores))) for case in CASES.values()}
