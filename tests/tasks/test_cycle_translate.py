"""The task CycleTranslate: there and back without pairs, old images shown again, kinds of different numbers."""

from functools import partial

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn

from lightning_cv.callbacks import Ema, Media
from lightning_cv.contracts import IMAGE, INDEX, LABEL, Stage
from lightning_cv.data import Digits, DigitsTwoWays
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import CycleDiscriminators, CycleTranslator, DcganDiscriminator, ResidualTranslator
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.optim import Linear
from lightning_cv.tasks import CycleTranslate
from lightning_cv.tasks.image_pool import ImagePool
from tests.tasks.playing import Critic, sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close


class Inverse(nn.Module):
    """1 - x, and a parameter that is part of it only in name."""

    def __init__(self, slope: float = -1.0, offset: float = 1.0) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(torch.tensor(slope)), offset

    def forward(self, images):
        return self.slope * images + self.offset


class Inverses(nn.Module):
    """Two maps."""

    def __init__(self, there: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.there, self.back = there, back


class Means(nn.Module):
    """The score is the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.weight * images.mean((1, 2, 3))


class TwoMeans(nn.Module):
    """One for each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Means(), Means()


def game(there=None, back=None, **options) -> CycleTranslate:
    network = Inverses(there or Inverse(), back or Inverse())
    return CycleTranslate(network, TwoMeans(), sgd(0.0), **options)


def batch(number: int = 6, seed: int = 0) -> dict:
    images = torch.rand(number, 1, 2, 2, generator=torch.Generator().manual_seed(seed))
    return {IMAGE: images, LABEL: (torch.arange(number) % 3 == 0).long(), INDEX: torch.arange(number)}


class Bare(CycleTranslate):
    """Outside of a training there are no data."""

    def data_info(self):
        return None


def bare(there=None, back=None, **options) -> CycleTranslate:
    return Bare(Inverses(there or Inverse(), back or Inverse()), TwoMeans(), sgd(0.0), **options)


def test_maps_that_undo_each_other_lose_nothing():
    """row 255: the reconstruction loss of exact inverses is 0; of others it is their distance, worked out."""
    given = batch()
    terms = bare().generator_step(given, None).terms
    assert terms["cycle"].item() == pytest.approx(0.0, abs=1e-6)
    images, labels = given[IMAGE], given[LABEL]
    first, second = images[labels == 0], images[labels == 1]
    terms = bare(there=Inverse(0.5, 0.0)).generator_step(given, None).terms
    cycle = (1 - 0.5 * first - first).abs().mean() + (0.5 * (1 - second) - second).abs().mean()
    identity = (0.5 * second - second).abs().mean() + (1 - first - first).abs().mean()
    scores = (0.5 * first).mean((1, 2, 3)), (1 - second).mean((1, 2, 3))
    adversarial = sum((each - 1).square().mean() for each in scores)
    assert_close(terms["cycle"], cycle)
    assert_close(terms["identity"], identity)
    assert_close(terms["generator_loss"], adversarial)
    loss = bare(there=Inverse(0.5, 0.0), cycle_weight=3.0, identity_weight=2.0).generator_step(given, None).loss
    assert_close(loss, adversarial + 3 * cycle + 2 * identity)


def test_each_discriminator_judges_its_own_kind():
    """row 254: half of (real - 1)^2 + fake^2 of both; two of four images are of the first kind, worked out."""
    given, task = batch(), bare(pool_size=0)
    images, labels = given[IMAGE], given[LABEL]
    first, second = images[labels == 0], images[labels == 1]
    pairs = ((first, 1 - second), (second, 1 - first))
    expected = sum(
        (real.mean((1, 2, 3)) - 1).square().mean() + fake.mean((1, 2, 3)).square().mean() for real, fake in pairs
    )
    output = task.discriminator_step(given, OwnDraws.of_indices(given[INDEX]))
    assert_close(output.terms["discriminator_loss"], expected)
    assert_close(output.loss, 0.5 * expected)


def test_a_batch_of_one_kind_moves_nothing_and_can_be_scored():
    """row 254: gradients are 0, not missing; on a set, losses are means over images of either kind."""
    given, task = batch(), bare()
    alone = {**given, LABEL: torch.zeros(6, dtype=torch.int64)}
    for output in (task.generator_step(alone, None), task.discriminator_step(alone, OwnDraws.of_indices(given[INDEX]))):
        assert output.loss.item() == 0
        output.loss.backward()
    assert all(parameter.grad == 0 for parameter in task.parameters())
    both = bare(there=Inverse(0.5, 0.0))
    whole = both.step(both.network, given).terms
    parts = [both.step(both.network, {key: value[n : n + 1] for key, value in given.items()}).terms for n in range(6)]
    for name, value in whole.items():
        assert_close(value, torch.stack([part[name] for part in parts]).mean())


def test_a_pool_gives_old_images_for_half_of_the_new_ones():
    """Shrivastava et al. 2017: at first itself; then an old one in half of the cases, whose place is taken."""
    pool = ImagePool(50)
    numbers = torch.arange(2050.0).view(-1, 1, 1, 1)
    chance = torch.rand(2050, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool.exchange(numbers[:50], chance[:50]), numbers[:50])
    given = pool.exchange(numbers[50:], chance[50:])
    is_old = (given != numbers[50:]).flatten()
    assert is_old.float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert (given[is_old] < numbers[50:][is_old]).all()
    assert len(given[is_old].unique()) == int(is_old.sum())  # an old image is given once, and gone
    again = ImagePool(50)
    again.load_state_dict(pool.state_dict())
    assert torch.equal(again.exchange(numbers[:9], chance[:9]), pool.exchange(numbers[:9], chance[:9]))
    assert torch.equal(ImagePool(0).exchange(numbers, chance), numbers)


def test_the_networks_are_two_and_two_as_published():
    """row 254; oracle: the authors' program prints 11.378 M (9 blocks) and 2.765 M for each."""

    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(ResidualTranslator((3, 256, 256), num_blocks=9)) == pytest.approx(11.378e6, abs=500)
    assert count(CycleTranslator((3, 256, 256), num_blocks=9)) == pytest.approx(2 * 11.378e6, abs=1000)
    assert count(CycleDiscriminators((3, 256, 256), num_halvings=3)) == pytest.approx(2 * 2.765e6, abs=1000)
    pair = CycleDiscriminators((1, 8, 8), width=4, num_halvings=1)
    assert all(scores.shape == (2, 2, 2) for scores in pair(torch.zeros(2, 1, 8, 8)))


class Skewed(VisionData):
    """Images of four pixels, most of them dark; every third one is of the other kind, and is 1 - x of such."""

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(list(Stage).index(stage))
        images = 255 * torch.rand(150, 1, 2, 2, generator=generator).pow(3)
        labels = (torch.arange(150) % 3 == 0).long()
        images = torch.where(labels.view(-1, 1, 1, 1) == 1, 255 - images, images)
        return ResidentSplit(images.round().to(torch.uint8), labels, ("dark", "light"), "Skewed")


class Judges(nn.Module):
    """One small discriminator for each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Critic(width=16, seed=1), Critic(width=16, seed=2)


def test_two_kinds_become_each_other_without_pairs(tmp_path):
    """rows 254, 255: sets of 100 and 50 images; both maps end near 1 - x, and what comes back is what went.

    They start at 0.5 - 0.3 x, since brighter and inverted dark images have the same mean.
    """
    seed_everything(0, verbose=False)
    maps = [Inverse(-0.3), Inverse(-0.3)]
    for each in maps:
        each.offset = nn.Parameter(torch.tensor(0.5))
    adam = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))
    task = CycleTranslate(Inverses(*maps), Judges(), adam, identity_weight=0.0, schedule=Linear())
    callbacks = Ema(decay=0.5), Media(num_images=4, every_n_epochs=150)
    runner = trainer(tmp_path, *callbacks, max_epochs=150, check_val_every_n_epoch=150)
    runner.fit(task, datamodule=Skewed(normalize=False, batch_size=50))
    assert runner.callback_metrics["val/cycle"].item() < 0.05
    dark = Skewed().load(Stage.VAL).images[1::3].float() / 255
    for each, images in ((maps[0], dark), (maps[1], 1 - dark)):
        assert (each(images) - (1 - images)).abs().mean().item() < 0.1
    assert {path.parent.name for path in tmp_path.rglob("*.png")} == {"translations"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cycle_weight": -1.0}, "cycle_weight: -1.0"),
        ({"pool_size": -1}, "pool_size: -1"),
        ({"network": Inverse()}, "Inverse has no parts there and back; allowed: .*CycleTranslator"),
        ({"discriminator": DcganDiscriminator()}, "has no parts first and second; allowed: .*CycleDiscriminators"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(options, message):
    players = {"network": Inverses(Inverse(), Inverse()), "discriminator": TwoMeans()}
    with pytest.raises(UserError, match=message):
        CycleTranslate(**{**players, **options}, optimizer=sgd(0.1))


def test_data_need_two_classes_and_the_size_of_the_network(tmp_path):
    with pytest.raises(UserError, match="images of two classes, the kinds, and these have 10"):
        trainer(tmp_path).fit(game(), datamodule=Digits())
    task = CycleTranslate(CycleTranslator((3, 8, 8), width=4), TwoMeans(), sgd(0.1))
    with pytest.raises(UserError, match=r"takes images \[3, 8, 8\], but those of the data are \[1, 8, 8\]"):
        trainer(tmp_path).fit(task, datamodule=DigitsTwoWays())


def test_coloured_digits_are_digits_in_one_colour():
    """Each of its channels is the grey digit times a share."""
    plain = Digits(channels=3).load(Stage.TEST).images.float()
    split = DigitsTwoWays("colored", channels=3).load(Stage.TEST)
    second = split.labels == 1
    assert torch.equal(split.images[~second].float(), plain[~second])
    assert (split.images[second].float() <= plain[second]).all()
    assert (split.images[second].float().amax((1, 2, 3)) == plain[second].amax((1, 2, 3))).all()
    with pytest.raises(UserError, match="channels"):
        DigitsTwoWays("colored")
