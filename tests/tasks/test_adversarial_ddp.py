"""Two processes play the game that one plays, and none waits for gradients that the other player would have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn

from lightning_cv.callbacks import Ema
from lightning_cv.data import Digits, DigitsTwoWays
from lightning_cv.networks.generate import CycleDiscriminators, CycleTranslator, DcganDiscriminator, DcganGenerator
from lightning_cv.tasks import Adversarial, CycleTranslate, Translate
from tests.processes import with_one_and_two
from tests.tasks.playing import Affine, Critic, Pixels, sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close

# Sets of 7 images in batches of 4 have last batches that two devices share unevenly.
CASES = {
    "plain": {},
    "cycle": {"discriminator_steps": 2, "gradient_penalty": 1.0, "r1": 0.5, "r1_every": 2},
    "accumulation": {"accumulate": 2, "gradient_clip": 0.1},
}


class Scaled(nn.Module):
    """The image is w times the source."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, source, draws=None):
        return self.weight * source


class Sums(nn.Module):
    """Scores are weighted sums of input and output."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.01, 0.02]))

    def forward(self, images):
        return images.sum((2, 3)) @ self.weight


def play(folder: Path, name: str, *, devices: int) -> None:
    """Train and test; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    seed_everything(3, verbose=False)
    runner = trainer(
        folder, Ema(), devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=3, num_sanity_val_steps=1
    )
    if name == "kinds":
        network = CycleTranslator((1, 8, 8), width=2, num_blocks=0, num_halvings=1)
        judges = CycleDiscriminators((1, 8, 8), width=2, num_halvings=1)
        task, data = CycleTranslate(network, judges, sgd(0.01), pool_size=4), DigitsTwoWays(num_train=22, batch_size=4)
    elif name == "pairs":
        task, data = Translate(Scaled(), Sums(), sgd(0.01), l1_weight=1.0), Digits(num_train=23, batch_size=4)
    elif name == "norms":
        network, critic = DcganGenerator(num_latents=4, width=4), DcganDiscriminator(width=4, num_halvings=2)
        task, data = Adversarial(network, critic, sgd(0.01)), Digits(batch_size=200)
    else:
        task, data = Adversarial(Affine(), Critic(), sgd(0.1), **CASES[name]), Pixels(7, batch_size=4)
    runner.fit(task, datamodule=data)
    found = {key: float(value) for key, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    (folder / f"{runner.global_rank}.json").write_text(json.dumps(found))
    torch.save(task.state_dict(), folder / f"{runner.global_rank}.pt")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What one process and each of two found: one pair of processes for everything."""
    folder = tmp_path_factory.mktemp("played")

    def every(devices: int) -> None:
        for name in (*CASES, "pairs", "norms", "kinds"):
            play(folder / str(devices) / name, name, devices=devices)

    with_one_and_two(every)
    return folder


@pytest.mark.parametrize("name", [*CASES, "pairs"])
def test_two_processes_train_what_one_trains(played, name):
    """Equal weights of both players, and equal curves and scores: draws belong to images, not to processes."""
    one, *two = (
        torch.load(played / devices / name / f"{rank}.pt", weights_only=True) for devices, rank in ("10", "20", "21")
    )
    for each in two:
        for key, value in one.items():
            assert_close(each[key], value)
    fresh, weight = (Scaled(), "weight") if name == "pairs" else (Affine(), "layer.weight")
    assert not torch.allclose(one[f"network.{weight}"], fresh.state_dict()[weight])
    first, second = (json.loads((played / devices / name / "0.json").read_text()) for devices in "12")
    assert second == pytest.approx(first, rel=1e-4, abs=1e-5)
    assert {"train/generator_loss", "val/loss", "test/discriminator_loss"} <= first.keys()


@pytest.mark.parametrize("name", ["norms", "kinds"])
def test_nothing_keeps_processes_apart(played, name):
    """Parameters are equal in both; buffers were made equal for the validation at the end.

    Of two images for each process, some are of one kind alone: it waits for nobody, and nobody for it.
    """
    first, second = (torch.load(played / "2" / name / f"{rank}.pt", weights_only=True) for rank in "01")
    for key, value in first.items():
        assert torch.equal(second[key], value), key
