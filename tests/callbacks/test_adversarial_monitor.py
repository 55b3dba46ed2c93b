"""Does the monitor of a game see the two ends that no loss tells, and is it silent else? (row 249)"""

from __future__ import annotations

import warnings

import pytest
import torch
from lightning.pytorch import Callback
from scipy.spatial import cKDTree

from lightning_cv.callbacks import AdversarialMonitor
from lightning_cv.contracts import Stage
from lightning_cv.errors import UserError
from lightning_cv.losses import Wasserstein
from lightning_cv.networks.generate import LatentGenerator
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.tasks import Adversarial
from tests.callbacks.tiny import TinyModule, TinyTask
from tests.tasks.playing import Critic, Pixels, sgd
from tests.tasks.test_detect import trainer


class Painter(LatentGenerator):
    """Images of so many kinds, all equally likely; 0: each is another."""

    def __init__(self, kinds: int, shift: float = 0.0) -> None:
        super().__init__((1, 2, 2), num_latents=4, num_classes=None)
        self.kinds = kinds
        self.shift = torch.nn.Parameter(torch.tensor(shift))

    def decode(self, latents, labels=None):
        values = torch.special.ndtr(latents.float())
        if self.kinds:
            kind = (values[:, :1] * self.kinds).floor()
            values = ((kind + 1) * torch.tensor([0.11, 0.23, 0.31, 0.43])) % 1
        return values.view(-1, 1, 2, 2) + self.shift


def sure(how: float) -> Critic:
    """Scores of real images are above `how`, of what is dark enough below -`how`."""
    critic = Critic(width=0)
    with torch.no_grad():
        critic.layers[0].weight.fill_(1.0)
        critic.layers[0].bias.fill_(how)
    return critic


def watch(folder, generator, critic, *callbacks, loss=None, epochs=4, monitor=None):
    """A game in which nothing moves; returns the logged values of each epoch, and the warnings."""
    rows = []

    class Reader(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            found = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("monitor/")}
            rows.append({name.removeprefix("monitor/"): value for name, value in found.items()})

    task = Adversarial(generator, critic, sgd(0.0), loss=loss)
    monitor = monitor or AdversarialMonitor(window=2)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        runner = trainer(folder, *callbacks, monitor, Reader(), max_epochs=epochs)
        runner.fit(task, datamodule=Pixels(64, batch_size=32))
    return rows, [str(each.message) for each in said if "AdversarialMonitor" in str(each.message)]


def test_a_healthy_game_is_passed_over_in_silence(tmp_path):
    """row 249: a discriminator that knows little, samples as diverse as the images."""
    rows, said = watch(tmp_path, Painter(0), sure(0.0))
    assert not said
    assert all(row["discriminator_won"] == row["mode_collapse"] == 0 for row in rows)
    assert all(0.6 < row["diversity"] < 1.6 for row in rows)


def test_a_discriminator_that_has_won_is_told_once(tmp_path):
    """row 249: from the second epoch on, one warning; a loss that may fall below 0 says nothing of it."""
    rows, said = watch(tmp_path, Painter(0, shift=-10.0), sure(6.0))
    assert [row["discriminator_won"] for row in rows] == [0, 1, 1, 1]
    assert len(said) == 1
    assert "the discriminator has won" in said[0]
    rows, said = watch(tmp_path, Painter(0, shift=-10.0), sure(6.0), loss=Wasserstein())
    assert not said
    assert all("discriminator_won" not in row for row in rows)


@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_a_generator_that_has_collapsed_is_told_once(tmp_path, kinds):
    """row 249: one image for all noise, and a few that take turns: some of 32 samples are always equal."""
    rows, said = watch(tmp_path, Painter(kinds), sure(0.0))
    assert [row["mode_collapse"] for row in rows] == [0, 1, 1, 1]
    assert all(row["diversity"] < 0.3 for row in rows)
    assert len(said) == 1
    assert "the generator has collapsed" in said[0]


def test_diversity_is_the_distance_to_the_nearest_other_one(tmp_path):
    """Oracle: SciPy's trees, of the last batch (here: all images) and of samples from the same noise."""
    monitor, generator = AdversarialMonitor(), Painter(0)
    runner = trainer(tmp_path, monitor)
    runner.fit(Adversarial(generator, sure(0.0), sgd(0.0)), datamodule=Pixels(20, batch_size=20))
    real = Pixels(20).load(Stage.TRAIN).images.flatten(1).float() / 255
    samples = generator.sample(OwnDraws.of_indices(torch.arange(20), seed=1)).flatten(1)
    spread = [cKDTree(each).query(each, k=2)[0][:, 1].mean() for each in (samples.numpy(), real.numpy())]
    assert runner.callback_metrics["monitor/diversity"].item() == pytest.approx(spread[0] / spread[1], rel=1e-4)


def test_what_ends_and_begins_again_is_told_again(tmp_path):
    """Once each time it begins; and a state that goes on counts on."""

    class Wavering(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            pl_module.network.kinds = 0 if trainer.current_epoch == 3 else 1

    rows, said = watch(tmp_path, Painter(1), sure(0.0), Wavering(), epochs=6)
    assert [row["mode_collapse"] for row in rows] == [0, 1, 1, 0, 0, 1]
    assert len(said) == 2
    first, second = AdversarialMonitor(window=3), AdversarialMonitor(window=3)
    watch(tmp_path, Painter(1), sure(0.0), epochs=2, monitor=first)
    second.load_state_dict(first.state_dict())
    rows, said = watch(tmp_path, Painter(1), sure(0.0), epochs=1, monitor=second)
    assert [row["mode_collapse"] for row in rows] == [1]
    assert len(said) == 1


def test_in_a_task_that_does_not_play_it_is_idle(tmp_path):
    monitor = AdversarialMonitor(window=1)
    runner = trainer(tmp_path, monitor)
    runner.fit(TinyTask(), datamodule=TinyModule())
    assert not any(name.startswith("monitor/") for name in runner.callback_metrics)
    assert monitor.state_dict() == AdversarialMonitor().state_dict()


@pytest.mark.parametrize("options", [{"window": 0}, {"won_below": -1.0}, {"collapsed_below": 1.5}])
def test_a_value_that_cannot_be_is_one_line(options):
    (name,) = options
    with pytest.raises(UserError, match=f"{name} is .*allowed"):
        AdversarialMonitor(**options)
