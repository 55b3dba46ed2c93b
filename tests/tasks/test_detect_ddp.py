"""Two processes find and score exactly what one does, for every size of the set (rows 204, 205)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import Ema, Media
from lightning_cv.data import Scenes
from lightning_cv.networks.detect import MaskRcnn, YoloV1
from lightning_cv.run.found_objects import write_found
from lightning_cv.tasks import Detect
from tests.networks.detect.inputs import REGIONS, pyramid
from tests.processes import with_one_and_two
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer

BATCH = 4
SIZES = (1, 2, 3, 5, 8, 9)
NETWORKS = {
    "masks": lambda: MaskRcnn(10, pyramid(), mask_layers=(8,), score_threshold=0.0, **REGIONS),
    "grid": lambda: YoloV1(10, grid=4, stride=8, width=16, score_threshold=0.0),
}


def score(folder: Path, name: str, *, size: int, devices: int) -> None:
    """Validate within a training that moves nothing, test and predict; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(4)
    network = NETWORKS[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # each device would see other statistics
    task = Detect(network, sgd)
    options = {"num_train": BATCH, "num_val": size, "num_test": size, "size_px": 48, "object_px": (16, 24)}
    data = Scenes(batch_size=BATCH, masks=name == "masks", shuffle_seed=1, normalize=False, **options)
    strategy = "ddp" if devices > 1 else "auto"
    callbacks = [Ema(scored="both"), Media(every_n_epochs=1)]
    runner = trainer(folder, *callbacks, devices=devices, strategy=strategy, num_sanity_val_steps=1)
    runner.fit(task, datamodule=data)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    write_found(folder, runner.predict(task, datamodule=data) or [], data=data)
    if runner.is_global_zero:
        (folder / "found.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """What one process and the first of two found: one pair of processes for everything."""
    folder = tmp_path_factory.mktemp("scored")

    def every(devices: int) -> None:
        for name in NETWORKS:
            for size in SIZES:
                score(folder / str(devices) / f"{name}-{size}", name, size=size, devices=devices)

    with_one_and_two(every)
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_pictures_and_files_are_those_of_one_process(scored, name, size):
    """COCO's scores to the last digit, losses to rounding; every box that is written, and pictures byte for byte.

    Among the sets is one with no image for one of the processes, and ones that are shared unevenly.
    """
    one, two = (scored / devices / f"{name}-{size}" for devices in "12")
    first, second = (json.loads((folder / "found.json").read_text()) for folder in (one, two))
    first, second = ({k: v for k, v in each.items() if not k.startswith("train/")} for each in (first, second))
    assert first.keys() == second.keys()
    for metric, value in first.items():
        if "loss" in metric:
            assert second[metric] == pytest.approx(value, rel=1e-4)
        else:
            assert second[metric] == value, metric
    assert {"val/map", "test/map", "val_raw/map"} <= first.keys()
    rows = [json.loads((folder / "predictions.json").read_text())["annotations"] for folder in (one, two)]
    assert len(rows[0]) == len(rows[1]) > 0
    for a, b in zip(*rows, strict=True):
        assert (a["image_id"], a["category_id"]) == (b["image_id"], b["category_id"])
        assert b["bbox"] == pytest.approx(a["bbox"], abs=2e-3)
    pictures = sorted(path.relative_to(one) for path in one.rglob("*.png"))
    assert pictures == sorted(path.relative_to(two) for path in two.rglob("*.png"))
    assert len(pictures) >= 4 + size
    for path in pictures:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path
