"""Samples are scored against the set that is scored, by weights that are judged, wherever and whenever that happens."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import Ema, Snapshot
from lightning_cv.cli.main import main
from lightning_cv.contracts import Density, Stage
from lightning_cv.data import Digits, Scenes
from lightning_cv.errors import UserError
from lightning_cv.metrics.sample_quality import frechet_distance, kernel_distance, precision_and_recall
from lightning_cv.networks.features import InceptionFeatures, SavedFeatures, TrainedFeatures
from lightning_cv.networks.features.base import Features
from lightning_cv.networks.generate import Generative, Made, MlpAutoencoder, MlpVae
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.tasks import Generate, SampleQuality
from tests.processes import with_one_and_two
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer
from tests.tasks.test_generate import Grey, pixels_of


class Pixels(Features):
    """The pixels themselves, turned; sees the class `dark` or `light` of `Grey` in the first one."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.full((), torch.nan))

    def check_data(self, info):
        """Any will do."""

    def find(self, batches):
        shown = [image for batch in batches() for image in batch["image"]]
        self.turn.data.fill_(torch.stack(shown).mean())

    def features(self, images):
        return images.flatten(1) + self.turn

    def scores(self, images):
        first = images[:, 0, 0, 0]
        return torch.stack([0.5 - first, first - 0.5], 1)


class Planted(Generative):
    """Draws uniform pixels times a weight; a conditional one draws the first one of the class in 3 of 4 images."""

    density = Density.IMPLICIT

    def __init__(self, image=(1, 2, 2), *, num_classes=None) -> None:
        super().__init__(image, levels=None, num_classes=num_classes)
        self.weight = nn.Parameter(torch.full((), 0.5))

    def loss_terms(self, images, labels, draws):
        return {"up": (self.weight - 1).square().expand(len(images))}

    def sample(self, draws, labels=None):
        images = (draws.uniform(*self.image) * self.weight).clamp(0, 1)
        if labels is not None:
            right = draws.uniform(1)[:, 0] < 0.75
            images[:, 0, 0, 0] = torch.where(right, labels, 1 - labels).float()
        return images


def expected(weight: float, *, stage: Stage = Stage.TEST, number: int = 7, samples: int = 12) -> dict[str, float]:
    """By hand, from all images and all samples at once."""
    turn = pixels_of(Stage.TRAIN, number).mean()
    real = pixels_of(stage, number).flatten(1) + turn
    drawn = OwnDraws.of_indices(torch.arange(samples)).uniform(1, 2, 2).flatten(1) * weight + turn
    precision, recall = precision_and_recall(real, drawn, neighbors=2)
    distances = {"fid": frechet_distance(real, drawn), "kid": kernel_distance(real, drawn)}
    return distances | {"precision": precision, "recall": recall}


def quality(**options) -> SampleQuality:
    return SampleQuality(Pixels(), **({"num_samples": 12, "neighbors": 2, "batch_size": 5} | options))


def moving(groups) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("at_once", [1, 5, 12])
def test_scores_are_those_of_the_whole_sets(tmp_path, batch_size, at_once):
    """In whatever batches images come and samples are drawn; images as they are without their normalization."""
    task = Generate(Planted(), sgd, quality=quality(batch_size=at_once))
    (scores,) = trainer(tmp_path).test(task, datamodule=Grey(batch_size=batch_size), verbose=False)
    found = {name.removeprefix("test/"): value for name, value in scores.items()}
    assert {name: found[name] for name in expected(0.5)} == pytest.approx(expected(0.5), rel=1e-4)
    assert "class_accuracy" not in found


def test_an_image_counts_once_however_often_and_in_whichever_order_it_comes():
    """As from a sampler that repeats images to give every process as many."""
    judged, images = quality(), pixels_of(Stage.TEST)
    judged.features.fit_images(lambda: [{"image": pixels_of(Stage.TRAIN)}])
    for index in ([5, 2, 6], [0, 3], [1, 4, 0, 2]):
        judged.add(Stage.TEST, torch.tensor(index), images[index])
    scores = judged.take(Stage.TEST, [("", Planted())])[""]
    assert scores == pytest.approx(expected(0.5), rel=1e-4)


def test_a_conditional_network_draws_the_classes_in_turn(tmp_path):
    """The share that the features recognize is the share that the planted network draws right."""
    network = Planted(num_classes=2)
    asked = []
    network.sample = lambda draws, labels: (asked.append(labels), Planted.sample(network, draws, labels))[1]
    task = Generate(network, sgd, quality=quality(num_samples=400))
    (scores,) = trainer(tmp_path).test(task, datamodule=Grey(), verbose=False)
    draws = OwnDraws.of_indices(torch.arange(400))
    draws.uniform(1, 2, 2)
    assert torch.equal(torch.cat(asked), torch.arange(400) % 2)
    assert scores["test/class_accuracy"] == pytest.approx((draws.uniform(1) < 0.75).double().mean().item())
    assert 0.7 < scores["test/class_accuracy"] < 0.8


def test_the_weights_that_count_are_those_that_draw(tmp_path):
    """Averaged and raw ones, each by its own; sets are those of the stage."""
    runner = trainer(tmp_path, Ema(decay=0.5, warmup=False, scored="both"), max_epochs=2)
    task = Generate(Planted(), moving, quality=quality())
    runner.fit(task, datamodule=Grey())
    averaged, raw = task.averaged.weight.item(), task.network.weight.item()
    assert abs(averaged - raw) > 0.01
    for group, weight in (("val", averaged), ("val_raw", raw)):
        for name, value in expected(weight, stage=Stage.VAL).items():
            assert runner.callback_metrics[f"{group}/{name}"].item() == pytest.approx(value, rel=1e-4)


def test_runs_are_judged_by_fid_where_there_is_no_likelihood(tmp_path):
    """The best snapshot is that of the best samples; a density, and a quality of the test alone, leave the monitor."""
    task = Generate(Planted(), moving, quality=quality())
    assert (task.monitor, task.mode) == ("val/fid", "min")
    runner = trainer(tmp_path, Snapshot(), max_epochs=12, enable_checkpointing=True)
    runner.fit(task, datamodule=Grey())
    distances = [expected(1 - 0.5 * 0.8 ** (epoch + 1), stage=Stage.VAL)["fid"] for epoch in range(12)]
    assert runner.checkpoint_callback.best_model_score == pytest.approx(min(distances), rel=1e-4)
    assert Generate(Planted(), sgd).monitor == "val/loss"
    assert Generate(Planted(), sgd, quality=quality(stages=["test"])).monitor == "val/loss"
    assert Generate(Made((1, 2, 2), levels=5), sgd, quality=quality()).monitor == "val/bits_per_dim"


def test_sets_that_are_not_named_are_not_scored(tmp_path):
    runner = trainer(tmp_path)
    task = Generate(Planted(), sgd, quality=quality(stages=["test"]))
    runner.fit(task, datamodule=Grey())
    assert "val/fid" not in runner.callback_metrics
    assert "test/fid" in runner.test(task, datamodule=Grey(), verbose=False)[0]


def small() -> SampleQuality:
    """Features that are trained; few samples."""
    return SampleQuality(TrainedFeatures(steps=2, widths=(4,)), num_samples=8)


def trained(folder: Path, judged: SampleQuality | None, **options):
    torch.manual_seed(4)
    task = Generate(MlpVae((1, 2, 2), num_latents=2, width=4), moving, quality=judged)
    runner = trainer(folder, Ema(decay=0.9), Snapshot(), enable_checkpointing=True, **options)
    torch.manual_seed(5)
    runner.fit(task, datamodule=Grey())
    return task, runner


def test_what_judges_is_no_part_of_what_is_judged(tmp_path):
    """The same weights and the same random numbers as without it; no optimizer, average or state holds its weights."""
    with_it, _ = trained(tmp_path / "with", small(), num_sanity_val_steps=2)
    after = torch.rand(3)
    without, _ = trained(tmp_path / "without", None, num_sanity_val_steps=2)
    assert torch.equal(torch.rand(3), after)
    state = with_it.state_dict()
    assert state.keys() == without.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in without.state_dict().items())
    own = {id(parameter) for parameter in with_it.quality.features.parameters()}
    groups = with_it.trainer.optimizers[0].param_groups
    assert own
    assert not own & {id(parameter) for group in groups for parameter in group["params"]}
    assert not own & {id(parameter) for parameter in with_it.parameters()}


def test_features_come_back_with_a_checkpoint_and_are_not_found_again(tmp_path, monkeypatch):
    """Test scores are those of the training process; where a run has none, or others, they are found anew."""
    task, runner = trained(tmp_path, small())
    path = runner.checkpoint_callback.best_model_path
    (expected_scores,) = runner.test(task, datamodule=Grey(), ckpt_path=path, weights_only=True, verbose=False)
    again = Generate(MlpVae((1, 2, 2), num_latents=2, width=4), moving, quality=small())
    calls = []
    find = TrainedFeatures.find
    monkeypatch.setattr(TrainedFeatures, "find", lambda self, batches: (calls.append(1), find(self, batches)))
    data, options = Grey(), {"weights_only": True, "verbose": False}
    (scores,) = trainer(tmp_path).test(again, datamodule=data, ckpt_path=path, **options)
    assert scores == pytest.approx(expected_scores, rel=1e-6)
    more = trainer(tmp_path / "more", Ema(decay=0.9), max_epochs=2)
    more.fit(again, datamodule=Grey(), ckpt_path=path, weights_only=True)
    assert not calls
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["quality"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    fresh = Generate(MlpVae((1, 2, 2), num_latents=2, width=4), moving, quality=small())
    (scores,) = trainer(tmp_path).test(fresh, datamodule=data, ckpt_path=tmp_path / "old.ckpt", **options)
    assert scores == pytest.approx(expected_scores, rel=1e-6)
    assert len(calls) == 1
    named = SampleQuality(TrainedFeatures(steps=2, widths=(6,)), num_samples=8)
    other = Generate(MlpVae((1, 2, 2), num_latents=2, width=4), moving, quality=named)
    (scores,) = trainer(tmp_path).test(other, datamodule=data, ckpt_path=path, **options)
    assert scores["test/fid"] != pytest.approx(expected_scores["test/fid"], rel=1e-3)
    assert len(calls) == 2


RECIPE = """
seed_everything: 0
model:
  class_path: lightning_cv.tasks.Generate
  init_args:
    network:
      {class_path: lightning_cv.networks.generate.MlpVae, init_args: {image: [1, 8, 8], num_latents: 3, width: 16}}
    quality:
      class_path: lightning_cv.tasks.SampleQuality
      init_args:
        features: {class_path: lightning_cv.networks.features.TrainedFeatures, init_args: {steps: 2, widths: [4]}}
        num_samples: 20
        stages: [test]
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.01}}
data:
  class_path: lightning_cv.data.Digits
  init_args: {batch_size: 64}
callbacks:
  progress: {class_path: lightning_cv.callbacks.Progress}
  snapshot: {class_path: lightning_cv.callbacks.Snapshot}
trainer: {max_epochs: 1, logger: false, accelerator: cpu}
"""


def test_a_run_is_scored_by_test_as_it_was_by_fit(tmp_path, capsys):
    """`fit --test`, and `test` on its folder: the same distance."""
    (tmp_path / "vae.yaml").write_text(RECIPE)
    home = tmp_path / "runs" / "vae" / "one"
    assert main(["fit", "vae.yaml", "--test", "--run-dir", str(home)]) == 0
    first = capsys.readouterr().out
    assert main(["test", "--config", str(home / "recipe.yaml"), "--ckpt", str(home)]) == 0
    second = capsys.readouterr().out

    def distance(text: str) -> str:
        (line,) = [line for line in text.splitlines() if line.startswith("test ")]
        return line.split(" fid ")[1].split()[0]

    assert distance(first) == distance(second)


def test_a_users_mistakes_are_one_line(tmp_path):
    """What is given, and what is allowed."""
    for make, words in [
        (lambda: SampleQuality(num_samples=3), "num_samples is 3; allowed: 4 or more"),
        (lambda: SampleQuality(neighbors=0), "neighbors is 0; allowed: 1 or more"),
        (lambda: SampleQuality(batch_size=0), "batch_size is 0; allowed: 1 or more"),
        (lambda: SampleQuality(stages=["train"]), "stages is .*allowed: val, test"),
        (lambda: SampleQuality(stages=[]), "stages is .*allowed: val, test"),
        (lambda: SampleQuality(nn.Flatten()), "Flatten, which is no feature network"),
    ]:
        with pytest.raises(UserError, match=words):
            make()
    scenes = {"num_train": 4, "num_val": 4, "size_px": 32, "object_px": (12, 14), "max_objects": 1}
    vae = MlpVae((3, 32, 32), num_latents=2, width=4)
    for network, features, data, words in [
        (vae, TrainedFeatures(), Scenes(**scenes), "have no one class"),
        (MlpVae(), SavedFeatures(weights=str(tmp_path / "gone")), Digits(size_px=8), "gone, which does not exist"),
        (vae, SavedFeatures(), Scenes(**scenes), "takes 1 channels, but the images have 3"),
        (MlpAutoencoder(), InceptionFeatures(), Digits(size_px=8), "MlpAutoencoder has no samples"),
    ]:
        task = Generate(network, sgd, quality=SampleQuality(features))
        with pytest.raises(UserError, match=words) as error:
            trainer(tmp_path).fit(task, datamodule=data)
        assert "\n" not in str(error.value)
    task = Generate(Planted(), sgd, quality=SampleQuality(Pixels(), num_samples=9, neighbors=8))
    with pytest.raises(UserError, match="test has 7 images; allowed: 9 or more"):
        trainer(tmp_path).test(task, datamodule=Grey(), verbose=False)
    loader = torch.utils.data.DataLoader([1])
    with pytest.raises(UserError, match="does not show them"):
        trainer(tmp_path).test(Generate(Planted(), sgd, quality=small()), loader, verbose=False)


def score(folder: Path, size: int, devices: int) -> None:
    """Train, validate and test; the first process leaves what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"devices": devices, "strategy": "ddp" if devices > 1 else "auto"}
    judged = SampleQuality(TrainedFeatures(steps=3, widths=(4,)), num_samples=7, neighbors=1, batch_size=2)
    task = Generate(Planted(num_classes=2), moving, quality=judged)
    runner = trainer(folder, Ema(decay=0.5, scored="both"), **options)
    data = Grey(size, batch_size=4)
    runner.fit(task, datamodule=data)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    found |= runner.test(task, datamodule=data, verbose=False)[0]
    if runner.is_global_zero:
        (folder / "found.json").write_text(json.dumps(found))


def test_two_processes_find_what_one_finds(tmp_path):
    """Also of a set with an odd number of images, and of one whose last batch is one device's alone."""

    def every(devices: int) -> None:
        for size in (3, 7):
            score(tmp_path / f"{size}-{devices}", size, devices)

    with_one_and_two(every)
    for size in (3, 7):
        one, two = (json.loads((tmp_path / f"{size}-{devices}" / "found.json").read_text()) for devices in (1, 2))
        names = ("fid", "kid", "precision", "recall", "class_accuracy")
        kept = {f"{group}/{name}" for group in ("val", "val_raw", "test") for name in names}
        assert kept <= one.keys()
        assert {name: two[name] for name in kept} == pytest.approx({name: one[name] for name in kept}, rel=1e-5)
