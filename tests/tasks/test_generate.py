"""The task Generate: what it trains and scores, predictions, pictures, and a user's mistakes."""

import csv
import math

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import Media
from lightning_cv.contracts import IMAGE, INDEX, LABEL, Density, Posterior, Stage
from lightning_cv.data import Digits, Scenes
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Bernoulli, Generative, Made
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.run.predictions import write_predictions
from lightning_cv.tasks import Generate
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close


class Grey(VisionData):
    """Images of 2 x 2 pixels in one of 5 grey values; the class is whether the first one is above the middle."""

    def __init__(self, number: int = 7, **shared) -> None:
        super().__init__(**shared)
        self.number = number

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(list(Stage).index(stage))
        images = torch.randint(5, (self.number, 1, 2, 2), generator=generator)
        images = (images * 255 / 4).round().to(torch.uint8)
        return ResidentSplit(images, (images[:, 0, 0, 0] > 127).long(), ("dark", "light"), "Grey")


def pixels_of(stage: Stage, number: int = 7) -> torch.Tensor:
    return Grey(number).load(stage).images.float() / 255


class Noisy(Generative):
    """A latent number for each image, drawn by chance; a bound that is random, terms that are known.

    reconstruction: the mean of the image times 8, plus the draw; kl: 1 for each image.
    """

    density = Density.BOUNDED
    nll_terms = ("reconstruction", "kl")
    num_latents = 2

    def __init__(self, image=(1, 2, 2), *, num_classes=None) -> None:
        super().__init__(image, levels=5, num_classes=num_classes)
        self.weight = nn.Parameter(torch.ones(1))

    def loss_terms(self, images, labels, draws):
        noise = draws.normal(1)[:, 0]
        return {
            "reconstruction": 8 * self.weight * images.mean((1, 2, 3)) + noise,
            "kl": self.weight * torch.ones(len(images)),
            "extra": 3 * self.weight.sum(),
        }

    def bound(self, images, labels, draws, *, num_samples=1):
        return -images.mean((1, 2, 3)) * num_samples + draws.normal(1)[:, 0] * 0

    def sample(self, draws, labels=None):
        return draws.uniform(*self.image).round()

    def encode(self, images, labels=None):
        return Posterior(images.mean((2, 3)).expand(-1, 2) * torch.tensor([1.0, 0.0]))

    def decode(self, latents, labels=None):
        return latents[:, :1, None, None].expand(-1, *self.image).clamp(0, 1)

    def reconstruct(self, images, labels=None):
        return self.decode(self.encode(images).mean)


def test_a_tractable_density_is_scored_exactly(tmp_path):
    """row 230: bits per dimension from the conditionals of each pixel, by brute force over its values."""
    torch.manual_seed(0)
    network = Made((1, 2, 2), levels=5, widths=(8,))
    nn.init.normal_(network.head.weight)
    data = Grey(batch_size=3)
    (scores,) = trainer(tmp_path).test(Generate(network, sgd), datamodule=data, verbose=False)
    values = (pixels_of(Stage.TEST) * 4).round().long()
    with torch.no_grad():
        every = torch.cartesian_prod(*[torch.arange(5)] * 4).view(-1, 1, 2, 2)
        joint = network.log_prob_of_values(every).double().exp()
        assert joint.sum().item() == pytest.approx(1, abs=1e-5)
        index = (values.flatten(1) * torch.tensor([125, 25, 5, 1])).sum(1)
        nats = -(joint / joint.sum()).log()[index].mean().item()
    assert scores["test/nats"] == pytest.approx(nats, rel=1e-5)
    assert scores["test/bits_per_dim"] == pytest.approx(nats / (4 * math.log(2)), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_scores_have_draws_of_each_image(tmp_path, batch_size):
    """row 240: means over the set of the terms with each image's own draws; batches change nothing at all."""
    task = Generate(Noisy(), sgd, importance_samples=5, loss_weights={"kl": 4.0})
    (scores,) = trainer(tmp_path).test(task, datamodule=Grey(batch_size=batch_size), verbose=False)
    images = pixels_of(Stage.TEST)
    noise = OwnDraws.of_indices(torch.arange(7)).normal(1)[:, 0]
    reconstruction = (8 * images.mean((1, 2, 3)) + noise).double()
    latents = images.mean((1, 2, 3))
    expected = {
        "test/reconstruction": reconstruction.mean(),
        "test/kl": 1.0,
        "test/extra": 3.0,
        "test/loss": reconstruction.mean() + 4 + 3,
        "test/nats": (reconstruction + 1).mean(),
        "test/bits_per_dim": (reconstruction + 1).mean() / (4 * math.log(2)),
        "test/importance_nats": 5 * images.mean(),
        "test/importance_bits_per_dim": 5 * images.mean() / (4 * math.log(2)),
        "test/mse": (latents[:, None, None, None] - images).square().mean(),
        "test/active_units": float(latents.var(correction=0) > 0.01),
    }
    assert scores == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)


class Bounded(Noisy):
    """Trains losses that are no bound, and has one."""

    nll_terms = ()


def test_a_bound_that_no_loss_is_scores_alone_in_the_test(tmp_path):
    """row 260: it is bits per dimension without a second name, and of predictions too; validation has none."""
    task = Generate(Bounded(), sgd, importance_samples=5)
    (scores,) = trainer(tmp_path).test(task, datamodule=Grey(batch_size=3), verbose=False)
    mean = 5 * pixels_of(Stage.TEST).mean().item()
    assert scores["test/nats"] == pytest.approx(mean, rel=1e-5)
    assert scores["test/bits_per_dim"] == pytest.approx(mean / (4 * math.log(2)), rel=1e-5)
    assert not any("importance" in name for name in scores)
    assert task.monitor == "val/mse"
    (scores,) = trainer(tmp_path).validate(task, datamodule=Grey(batch_size=3), verbose=False)
    assert "val/bits_per_dim" not in scores
    rows = trainer(tmp_path).predict(task, datamodule=Grey(batch_size=7))[0]
    row = task.prediction_rows(rows["prediction"], ("dark", "light"))[0]
    index = int(rows[INDEX][0])
    assert row["nats"] == pytest.approx(5 * pixels_of(Stage.PREDICT)[index].mean().item(), abs=1e-5)
    assert row.keys() == {"nats", "mse", "bits_per_dim"}


def test_training_draws_anew_each_step():
    """From torch's generator, which a snapshot holds: seeded alike, alike."""
    task = Generate(Noisy(), sgd)
    batch = {IMAGE: torch.zeros(2, 1, 2, 2), INDEX: torch.arange(2), LABEL: torch.zeros(2, dtype=torch.int64)}
    task._trainer = _NoData()
    torch.manual_seed(3)
    first, second = task.step(task.network, batch).loss, task.step(task.network, batch).loss
    torch.manual_seed(3)
    assert first == task.step(task.network, batch).loss != second


class _NoData:
    datamodule = None


def test_a_network_gets_values_between_0_and_1(tmp_path):
    """The normalization of the data is undone: every value is the level that was stored."""
    seen = []

    class Watching(Noisy):
        def loss_terms(self, images, labels, draws):
            seen.append(images)
            assert labels is None
            return super().loss_terms(images, labels, draws)

    trainer(tmp_path).test(Generate(Watching(), sgd), datamodule=Grey(batch_size=7), verbose=False)
    assert_close(torch.cat(seen)[-7:], pixels_of(Stage.TEST))


@pytest.mark.parametrize(
    ("network", "monitor"),
    [(Made((1, 2, 2), levels=5), "val/bits_per_dim"), (type("Plain", (Noisy,), {"nll_terms": ()})(), "val/mse")],
)
def test_runs_are_judged_by_what_the_network_knows(tmp_path, network, monitor):
    task = Generate(network, sgd)
    assert (task.monitor, task.mode) == (monitor, "min")
    (scores,) = trainer(tmp_path).validate(task, datamodule=Grey(batch_size=4), verbose=False)
    assert monitor in scores


def test_predictions_say_how_likely_an_image_is(tmp_path):
    """In nats, in bits per dimension, and its squared error; the same as the score of the set."""
    task, data = Generate(Noisy(), sgd), Grey(batch_size=3)
    runner = trainer(tmp_path)
    (scores,) = runner.test(task, datamodule=data, verbose=False)
    data = Grey(batch_size=3)
    data.load = lambda stage: Grey().load(Stage.TEST)
    write_predictions(tmp_path / "p.csv", runner.predict(task, datamodule=data), task=task, data=data)
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert list(rows[0]) == ["sample", "nats", "mse", "bits_per_dim"]
    for name in ("nats", "mse", "bits_per_dim"):
        assert sum(float(row[name]) for row in rows) / 7 == pytest.approx(scores[f"test/{name}"], abs=1e-5)


def test_a_conditional_density_classifies_by_bayes(tmp_path):
    """row 231: p(y | x) from p(x | y) of classes that are equally frequent; in scoring the label is given."""
    torch.manual_seed(1)
    network = Made((1, 2, 2), levels=5, num_classes=2, widths=(8,))
    nn.init.normal_(network.head.weight)
    task, runner = Generate(network, sgd), trainer(tmp_path)
    (scores,) = runner.test(task, datamodule=Grey(batch_size=3), verbose=False)
    images, labels = pixels_of(Stage.TEST), Grey().load(Stage.TEST).labels
    with torch.no_grad():
        each = torch.stack([network.log_prob(images, torch.full((7,), label)) for label in (0, 1)], 1)
    assert scores["test/nats"] == pytest.approx(-each[torch.arange(7), labels].mean().item(), rel=1e-5)
    data = Grey(batch_size=3)
    data.load = lambda stage: Grey().load(Stage.TEST)
    write_predictions(tmp_path / "p.csv", runner.predict(task, datamodule=data), task=task, data=data)
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    p = each.double().exp() / each.double().exp().sum(1, keepdim=True)
    assert [float(row["p(light)"]) for row in rows] == pytest.approx(p[:, 1].tolist(), abs=1e-5)
    assert [row["class"] for row in rows] == [("dark", "light")[int(own.argmax())] for own in p]


def test_pictures_show_samples_reconstructions_and_traversals(tmp_path):
    """rows 242, 243: drawn in each validation from the same noise, and again in the test."""
    data, callbacks = Grey(batch_size=4), [Media(num_images=4, every_n_epochs=1)]
    runner = trainer(tmp_path, *callbacks)
    task = Generate(Noisy(), sgd)
    runner.fit(task, datamodule=data)
    runner.test(task, datamodule=data, verbose=False)
    drawn = {path.parent.relative_to(tmp_path / "media").as_posix(): path for path in tmp_path.rglob("*.png")}
    names = ("samples", "reconstructions", "traversals")
    assert drawn.keys() == {f"{stage}/{name}" for stage in ("val", "test") for name in names}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: (Generate(nn.Linear(1, 1), sgd), Digits()), "no generative network"),
        (lambda: (Generate(Made(), sgd, importance_samples=5), Digits()), "importance_samples"),
        (lambda: (Generate(Noisy(), sgd, importance_samples=-1), Digits()), "importance_samples"),
        (lambda: (Generate(Made((1, 8, 9)), sgd), Digits()), r"set its image to \[1, 8, 8\]"),
        (lambda: (Generate(Made(num_classes=3), sgd), Digits()), "set its num_classes to 10"),
        (
            lambda: (Generate(Made((3, 64, 64), num_classes=10, widths=(4,), levels=2), sgd), Scenes(size_px=64)),
            "no one class",
        ),
        (lambda: (Generate(Made(), sgd, loss_weights={"kl": 2.0}), Digits()), "kl is no loss of Made"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_set(tmp_path, make, says):
    def fit() -> None:
        task, data = make()
        trainer(tmp_path).fit(task, datamodule=data)

    with pytest.raises(UserError, match=says):
        fit()


def test_bernoulli_levels_are_black_and_white():
    """row 241: an image in grey is read at one half."""
    outputs, images = torch.tensor([[[[[2.0, 2.0]]]]]), torch.tensor([[[[0.49, 0.51]]]])
    expected = math.log(1 - 1 / (1 + math.exp(-2))) + math.log(1 / (1 + math.exp(-2)))
    assert Bernoulli().log_prob(outputs, images).item() == pytest.approx(expected, rel=1e-5)
