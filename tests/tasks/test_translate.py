"""The task Translate: what goes in, what the discriminator sees, and that translations beat doing nothing (row 253)."""

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn
from torch.nn import functional as F

from lightning_cv.callbacks import Ema, Media
from lightning_cv.contracts import CLASSES, IGNORED, IMAGE, INDEX, Stage
from lightning_cv.data import Digits, Scenes
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import PatchDiscriminator, UNetTranslator
from lightning_cv.ops.edges import edges
from lightning_cv.tasks import EdgesOf, MasksOf, Translate
from tests.tasks.playing import sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close


class Half(nn.Module):
    """The image is w times the source, of which there is one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, source, draws=None):
        return self.weight * source


class Seeing(nn.Module):
    """Remembers what it was shown; scores are sums."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.01))
        self.seen = []

    def forward(self, images):
        self.seen.append(images.detach())
        return self.weight * images.sum((1, 2, 3))


def digits(**options) -> Digits:
    return Digits(normalize=False, batch_size=64, **options)


def scenes(**options) -> Scenes:
    sizes = {"num_train": 4, "num_val": 4, "num_test": 4, "size_px": 32, "object_px": (12, 20), "max_objects": 1}
    return Scenes(truth="semantic", batch_size=4, **sizes, **options)


def test_the_discriminator_sees_input_and_output_together(tmp_path):
    """row 253: 2 C channels, the source on top; of a real pair the image, of the other the translation."""
    critic = Seeing()
    task = Translate(Half(), critic, sgd(0.0))
    runner = trainer(tmp_path, limit_train_batches=1)
    runner.fit(task, datamodule=digits())
    real, fake, again = critic.seen[:3]
    assert real.shape == (64, 2, 8, 8)
    source, image = real[:, :1], real[:, 1:]
    assert_close(source, edges(image))
    for each in (fake, again):
        assert_close(each[:, :1], source)
        assert_close(each[:, 1:], 0.5 * source)
    # Half of the game's loss, and the weighed distance: worked out.
    scores = [0.01 * each.sum((1, 2, 3)) for each in (real, fake)]
    metrics = runner.callback_metrics
    expected = F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()
    assert metrics["train/discriminator_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert metrics["train/l1"].item() == pytest.approx((0.5 * source - image).abs().mean().item(), rel=1e-4)
    batch = {IMAGE: image, INDEX: torch.arange(64)}
    loss = task.generator_step(batch, None).loss
    assert loss.item() == pytest.approx((F.softplus(-scores[1]).mean() + 100 * metrics["train/l1"]).item(), rel=1e-4)
    assert task.discriminator_step(batch, None).loss.item() == pytest.approx(0.5 * expected.item(), rel=1e-4)


def test_masks_go_in_as_one_channel_a_class():
    """row 253: the class of each pixel; nothing where it is not known; shown in the colours of the classes."""
    data = scenes()
    data.setup("fit")
    info, source = data.info, MasksOf()
    assert source.channels(info) == info.num_classes == 12
    classes = torch.tensor([[[0, 3], [11, IGNORED]]], dtype=torch.int16)
    made = source.make({CLASSES: classes}, torch.zeros(1, 3, 2, 2), info)
    assert made.shape == (1, 12, 2, 2)
    assert made.sum(1).tolist() == [[[1, 1], [1, 0]]]
    assert [made[0, k, y, x].item() for k, y, x in ((0, 0, 0), (3, 0, 1), (11, 1, 0))] == [1, 1, 1]
    shown = source.show(made, info)
    assert_close(shown[0, :, 1, 0] * 255, torch.tensor(info.pixels.colors[11], dtype=torch.float32))


def test_translations_of_edges_are_nearer_than_the_edges(tmp_path):
    """row 253: after a short training, L1 to the true images is below that of the identity, and of their mean."""
    seed_everything(0, verbose=False)
    network = UNetTranslator((1, 8, 8), width=16, num_halvings=2, dropout=0.0)
    critic = PatchDiscriminator((2, 8, 8), width=16, num_halvings=1)
    adam = {"lr": 2e-3, "betas": (0.5, 0.999)}
    task = Translate(network, critic, lambda groups: torch.optim.Adam(groups, **adam))
    data = digits()
    runner = trainer(tmp_path, Ema(decay=0.9), Media(num_images=4, every_n_epochs=6), max_epochs=6)
    runner.fit(task, datamodule=data)
    images = data.load(Stage.VAL).images.float() / 255
    identity = (edges(images) - images).abs().mean().item()
    constant = (images - images.mean(0)).abs().mean().item()
    assert runner.callback_metrics["val/l1"].item() < 0.7 * min(identity, constant)
    assert task.monitor == "val/l1"
    assert {path.parent.name for path in tmp_path.rglob("*.png")} == {"translations"}


def test_scenes_are_painted_from_masks(tmp_path):
    """The whole way with classes of pixels: fit, pictures, test."""
    network = UNetTranslator((3, 32, 32), source_channels=12, width=4)
    task = Translate(network, PatchDiscriminator((15, 32, 32), width=4), sgd(0.01), source=MasksOf())
    runner = trainer(tmp_path, Media(num_images=4, every_n_epochs=1))
    runner.fit(task, datamodule=scenes())
    assert runner.test(task, datamodule=scenes(), verbose=False)[0].keys() >= {"test/l1", "test/loss"}
    assert {path.parent.name for path in tmp_path.rglob("*.png")} == {"translations"}


@pytest.mark.parametrize(
    ("network", "critic", "options", "message"),
    [
        (
            UNetTranslator((1, 4, 4)),
            Seeing(),
            {},
            r"UNetTranslator has image \[1, 4, 4\].* set its image to \[1, 8, 8\]",
        ),
        (UNetTranslator((1, 8, 8), source_channels=3), Seeing(), {}, "set its source_channels to 1"),
        (UNetTranslator((1, 8, 8)), PatchDiscriminator((1, 8, 8), num_halvings=1), {}, r"image to \[2, 8, 8\]"),
        (UNetTranslator((1, 8, 8)), Seeing(), {"source": MasksOf()}, "data whose pixels have classes"),
        (UNetTranslator((1, 8, 8)), Seeing(), {"l1_weight": -1.0}, "l1_weight: -1.0"),
    ],
)
def test_what_does_not_fit_together_is_one_line(tmp_path, network, critic, options, message):
    with pytest.raises(UserError, match=message):
        trainer(tmp_path).fit(Translate(network, critic, sgd(0.1), **options), datamodule=digits())
    assert EdgesOf().channels(None) == 1
