"""Two processes find and score exactly what one does, for every size of the set (rows 206, 223)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import Ema, Media
from lightning_cv.networks.segment import PanopticFpn, Pyramid, UNet
from lightning_cv.run.label_files import LabelFiles
from lightning_cv.run.panoptic_files import PanopticFiles
from lightning_cv.tasks import PanopticSegment, Segment
from tests.networks.segment.test_panoptic import SMALL
from tests.processes import with_one_and_two
from tests.tasks.reading import CLASSES, ToldData
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer

SIZES = (1, 2, 3, 7)
TASKS = {
    "semantic": lambda: Segment(UNet(CLASSES, 3, width=4, levels=3, batch_norm=True), sgd),
    "panoptic": lambda: PanopticSegment(
        PanopticFpn(CLASSES, ((2, 4),), Pyramid("small", channels=16, extra="none"), **SMALL), sgd
    ),
}


def score(folder: Path, name: str, *, size: int, devices: int) -> None:
    """Validate within a training that moves nothing, test and predict; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(4)
    task = TASKS[name]()
    for module in task.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # each device would see other statistics
    data = ToldData(size, segments=name == "panoptic", batch_size=4)
    strategy = "ddp" if devices > 1 else "auto"
    callbacks = [Ema(scored="both"), Media(every_n_epochs=1)]
    runner = trainer(folder, *callbacks, devices=devices, strategy=strategy, num_sanity_val_steps=1)
    runner.fit(task, datamodule=data)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    writer = LabelFiles(folder, data) if name == "semantic" else PanopticFiles(folder, data)
    runner.callbacks.append(writer)
    runner.predict(task, datamodule=data, return_predictions=False)
    if runner.is_global_zero:
        (folder / "found.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """What one process and the first of two found: one pair of processes for everything."""
    folder = tmp_path_factory.mktemp("scored")

    def every(devices: int) -> None:
        for name in TASKS:
            for size in SIZES:
                score(folder / str(devices) / f"{name}-{size}", name, size=size, devices=devices)

    with_one_and_two(every)
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TASKS)
def test_scores_pictures_and_files_are_those_of_one_process(scored, name, size):
    """Scores to the last digit, losses to rounding, pictures and files byte for byte.

    Among the sets is one with no image for one of the processes, and ones that are shared unevenly.
    """
    one, two = (scored / devices / f"{name}-{size}" for devices in "12")
    first, second = (json.loads((folder / "found.json").read_text()) for folder in (one, two))
    first, second = ({k: v for k, v in each.items() if not k.startswith("train/")} for each in (first, second))
    assert first.keys() == second.keys()
    for metric, value in first.items():
        if any(word in metric for word in ("loss", "cross_entropy")):
            assert second[metric] == pytest.approx(value, rel=1e-4)
        else:
            assert second[metric] == value, metric
    watched = "mean_iou" if name == "semantic" else "pq"
    assert {f"val/{watched}", f"test/{watched}", f"val_raw/{watched}"} <= first.keys()
    files = sorted(path.relative_to(one) for path in one.rglob("*.png"))
    assert files == sorted(path.relative_to(two) for path in two.rglob("*.png"))
    assert len(files) >= 2 * size + 2
    for path in files:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path
    if name == "panoptic":
        assert (one / "predictions.json").read_bytes() == (two / "predictions.json").read_bytes()
