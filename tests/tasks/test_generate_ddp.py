"""Two processes score and train a generative network as one does, for every size of the set (row 230)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import Ema, Media
from lightning_cv.contracts import Stage
from lightning_cv.networks.generate import DiscretizedLogistic, Made, PixelCnn, VqVae
from lightning_cv.tasks import Generate
from tests.processes import with_one_and_two
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer
from tests.tasks.test_generate import Grey, Noisy
from tests.tolerances import assert_close

SIZES = (1, 2, 3, 7)


def made() -> Made:
    torch.manual_seed(4)
    network = Made((1, 2, 2), levels=5, num_classes=2, widths=(8,))
    nn.init.normal_(network.head.weight)
    return network


def codes() -> VqVae:
    """None of its vectors is restarted: which feature one becomes is drawn by each process."""
    torch.manual_seed(4)
    prior = PixelCnn((1, 1, 1), levels=4, width=4, num_layers=1, ordered=False)
    sizes = {"num_codes": 4, "code_width": 2, "width": 4, "num_blocks": 1}
    network = VqVae((1, 2, 2), **sizes, likelihood=DiscretizedLogistic(5), prior=prior)
    network.codebook.idle.zero_()
    return network


NETWORKS = {"density": made, "latents": Noisy, "codes": codes}
NUM_PICTURES = {"density": 2, "latents": 6, "codes": 6}


class Sized(Grey):
    """Sets of one size, but a training set of 8."""

    def load(self, stage: Stage):
        return Grey(8).load(stage) if stage is Stage.TRAIN else super().load(stage)


def score(folder: Path, name: str, *, size: int, devices: int) -> None:
    """Validate within a training that moves nothing, test and train; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"devices": devices, "strategy": "ddp" if devices > 1 else "auto", "num_sanity_val_steps": 1}
    data = Sized(size, batch_size=4)
    runner = trainer(folder, Ema(scored="both"), Media(every_n_epochs=1), **options)
    task = Generate(NETWORKS[name](), sgd, importance_samples=2 if name == "latents" else 0)
    runner.fit(task, datamodule=data)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    trained = Generate(NETWORKS[name](), lambda groups: torch.optim.SGD(groups, lr=0.1))
    trainer(folder / "trained", **options).fit(trained, datamodule=Sized(size, batch_size=4))
    if runner.is_global_zero:
        (folder / "found.json").write_text(json.dumps(found))
        torch.save(trained.network.state_dict(), folder / "trained.pt")


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
def test_scores_and_pictures_are_those_of_one_process(scored, name, size):
    """Among the sets is one with no image for one of the processes, and ones that are shared unevenly."""
    one, two = (scored / devices / f"{name}-{size}" for devices in "12")
    first, second = (json.loads((folder / "found.json").read_text()) for folder in (one, two))
    first, second = ({k: v for k, v in each.items() if not k.startswith("train/")} for each in (first, second))
    assert second == pytest.approx(first, rel=1e-6)
    assert {"val/bits_per_dim", "val_raw/bits_per_dim", "test/bits_per_dim"} <= first.keys()
    pictures = sorted(path.relative_to(one) for path in one.rglob("*.png"))
    assert pictures == sorted(path.relative_to(two) for path in two.rglob("*.png"))
    assert len(pictures) == NUM_PICTURES[name]
    for path in pictures:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path


@pytest.mark.parametrize("name", ["density", "codes"])
def test_two_processes_train_what_one_trains(scored, name):
    """Equal weights, and an equal book of codes, after equal steps of networks whose training draws nothing."""
    one, two = (torch.load(scored / devices / f"{name}-7" / "trained.pt", weights_only=True) for devices in "12")
    assert one.keys() == two.keys()
    for key, value in one.items():
        if value.is_floating_point():
            assert_close(two[key], value)
        else:
            assert torch.equal(two[key], value), key
    before = NETWORKS[name]().state_dict()
    moved = {"density": ["head.weight"], "codes": ["codebook.vectors", "decoder.0.weight"]}[name]
    assert all(not torch.equal(one[key], before[key]) for key in moved)
