"""Feature networks: what they see, that they come back from a file, and a user's mistakes."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import Inception_V3_Weights, inception_v3

from lightning_cv.callbacks import Ema, Snapshot
from lightning_cv.contracts import IMAGE, INDEX, LABEL, DataInfo, Recognizes, Stage
from lightning_cv.data import Digits
from lightning_cv.errors import UserError
from lightning_cv.networks.classify import LeNet5, Mlp, SmallResNet
from lightning_cv.networks.features import InceptionFeatures, SavedFeatures, TrainedFeatures
from lightning_cv.networks.features import trained as trained_module
from lightning_cv.tasks import Classify
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close

INFO = DataInfo(("a", "b"), 1, (8, 8), (0.0,), (1.0,))


def dots(count: int = 40, *, channels: int = 1, batch: int = 7, side: int = 8):
    """Batches of bright and dark noise, whose label says which."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    images = torch.rand(count, channels, side, side, generator=generator) / 2 + labels[:, None, None, None] / 2
    whole = {IMAGE: images, LABEL: labels, INDEX: torch.arange(count)}
    return lambda: ({key: value[i : i + batch] for key, value in whole.items()} for i in range(0, count, batch))


def digits(stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
    data = Digits(size_px=8)
    data.setup("fit")
    split = data.split(stage)
    return split.images.float() / 255, split.labels


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_classifier_trained_here_reads_digits(seed):
    """What it has not seen too: above 97% of the test images."""
    images, labels = digits(Stage.TRAIN)
    features = TrainedFeatures(seed=seed)
    features.fit_images(lambda: [{IMAGE: images, LABEL: labels, INDEX: torch.arange(len(images))}])
    test_images, test_labels = digits(Stage.TEST)
    with torch.no_grad():
        scores = features.scores(test_images)
        assert (scores.argmax(1) == test_labels).float().mean() > 0.97
        vectors = features(test_images)
    assert vectors.shape == (len(test_images), features.num_features)
    assert_close(nn.functional.linear(vectors, *features.network.head.parameters()), scores)
    assert isinstance(features, Recognizes)


def test_its_training_touches_nothing_else_and_repeats():
    """torch's stream of random numbers is where it was; other batches and another order of them change no weight."""
    before = torch.random.get_rng_state()
    features = TrainedFeatures(steps=3, widths=(4,))
    features.fit_images(dots())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    again = TrainedFeatures(steps=3, widths=(4,))
    again.fit_images(lambda: reversed(list(dots(batch=3)())))
    other = TrainedFeatures(steps=3, widths=(4,), seed=1)
    other.fit_images(dots())
    state = features.state_dict()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in state.items())
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in state.items())
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert not any(module.training for module in features.train().modules())


def test_its_images_are_bounded_in_number_and_size(monkeypatch):
    """The same ones, whatever the batches; large images are averaged down to 32 px."""
    monkeypatch.setattr(trained_module, "_MOST_IMAGES", 10)
    images, labels = trained_module._gathered(dots(80, side=64))
    assert images.shape == (10, 1, 32, 32)
    others, other_labels = trained_module._gathered(dots(80, side=64, batch=33))
    assert torch.equal(images, others)
    assert torch.equal(labels, other_labels)
    whole = torch.cat([batch[IMAGE] for batch in dots(80, side=64)()])
    means = whole.unflatten(3, (32, 2)).unflatten(2, (32, 2)).mean((3, 5))
    nearest = (means[:, None] - images[None] / 255).abs().amax((2, 3, 4)).amin(0)
    assert nearest.max() < 0.5 / 255 + 1e-6
    features = TrainedFeatures(steps=1, widths=(4,))
    features.fit_images(dots(side=64))
    assert_close(features(whole[:3]), features(means[:3]))


def saved_run(folder: Path, network: nn.Module) -> tuple[Classify, Digits]:
    """A short run whose averaged weights are the ones that count, on normalized images."""
    data = Digits(size_px=8, batch_size=256)
    task = Classify(network, lambda groups: torch.optim.SGD(groups, lr=0.05))
    trainer(folder, Ema(decay=0.9), Snapshot(), max_epochs=1, enable_checkpointing=True).fit(task, datamodule=data)
    return task, data


@pytest.mark.parametrize("make", [lambda: SmallResNet(10, in_channels=1, widths=(4, 6)), lambda: Mlp(10)])
def test_a_classifier_of_a_run_sees_what_its_head_saw(tmp_path, make):
    """Features times the head are the scores of the task, which gets normalized images; a convolution or not."""
    task, data = saved_run(tmp_path, make())
    features = SavedFeatures(make(), weights=str(tmp_path))
    features.fit_images(dots())
    batch = next(iter(data.test_dataloader()))
    normalized = data.on_after_batch_transfer(batch, 0)[IMAGE]
    pixels = batch[IMAGE].float() / 255
    with torch.no_grad():
        expected = task.averaged(normalized)
        assert_close(features.scores(pixels), expected)
        head = task.averaged.head if hasattr(task.averaged, "head") else task.averaged.layers[-1]
        assert_close(head(features(pixels)), expected)
        assert (features.scores(normalized) - expected).abs().max() > 0.01
    assert features(pixels).shape[1] == features.num_features


def shrunk_inception(monkeypatch, folder: Path) -> nn.Module:
    """A file in the true format in the place where torch keeps downloads; gives the network that it is of."""
    torch.manual_seed(3)
    network = inception_v3(weights=None, transform_input=True, init_weights=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(folder))
    target = folder / "checkpoints" / Path(Inception_V3_Weights.IMAGENET1K_V1.url).name
    target.parent.mkdir()
    torch.save(network.state_dict(), target)
    return network.eval()


def test_inception_sees_what_torchvisions_weights_want_to_see(tmp_path, monkeypatch):
    """Its pooled features by torchvision's own network with its own normalization; grey images as coloured ones."""
    network = shrunk_inception(monkeypatch, tmp_path)
    features = InceptionFeatures()
    features.fit_images(dots())
    grey = torch.rand(2, 1, 299, 299)
    wanted = Inception_V3_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(values)[:, None, None] for values in (wanted.mean, wanted.std))
    seen = []
    network.dropout.register_forward_hook(lambda module, given, result: seen.append(result.flatten(1)))
    with torch.no_grad():
        network((grey.expand(-1, 3, -1, -1) - mean) / std)
        torch.testing.assert_close(features(grey), seen[0], rtol=1e-3, atol=1e-4)
        assert features(grey[..., :64, :64]).shape == (2, 2048)
    assert not isinstance(features, Recognizes)


def test_inception_without_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))

    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(UserError, match=r"no route to host.*allowed: that file in .*checkpoints") as error:
        InceptionFeatures().fit_images(dots())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [lambda: TrainedFeatures(steps=2, widths=(4, 6)), lambda: SavedFeatures(LeNet5(10))])
def test_they_come_back_from_a_file_into_one_that_never_saw_the_images(tmp_path, make):
    """With as many channels and classes as the data had, and the statistics of theirs."""
    features = make()
    if isinstance(features, TrainedFeatures):
        features.fit_images(dots(channels=3))
        images = torch.rand(4, 3, 8, 8)
    else:
        features.mean, features.std = torch.full((1, 1, 1), 0.3), torch.full((1, 1, 1), 2.0)
        features.as_found()
        images = torch.rand(4, 1, 32, 32)
    torch.save(features.state_dict(), tmp_path / "features.pt")
    other = make()
    with pytest.raises(UserError, match="no weights yet"):
        other(images)
    before = torch.random.get_rng_state()
    other.load_state_dict(torch.load(tmp_path / "features.pt", weights_only=True))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(features(images), other(images))
    assert torch.equal(features.scores(images), other.scores(images))
    assert not any(parameter.requires_grad for parameter in other.parameters())


@pytest.mark.parametrize(
    ("features", "info", "words"),
    [
        (TrainedFeatures(), DataInfo(("a", "b"), 1, (8, 8), (0.0,), (1.0,), multilabel=True), "no one class"),
        (TrainedFeatures(), DataInfo((), 1, (8, 8), (0.0,), (1.0,)), "no one class"),
        (TrainedFeatures(), DataInfo(("a", "b"), 3, (8, 8), (0.0,) * 3, (1.0,) * 3, objects=True), "no one class"),
        (SavedFeatures(), DataInfo(("a", "b"), 3, (8, 8), (0.0,) * 3, (1.0,) * 3), "takes 1 channels.*have 3"),
        (InceptionFeatures(), DataInfo(("a", "b"), 4, (8, 8), (0.0,) * 4, (1.0,) * 4), "1 or 3 channels.*have 4"),
    ],
)
def test_data_that_they_cannot_look_at_are_refused_in_one_line(features, info, words):
    with pytest.raises(UserError, match=words) as error:
        features.check_data(info)
    assert "\n" not in str(error.value)


def test_a_users_mistakes_are_one_line(tmp_path):
    for make, words in [
        (lambda: TrainedFeatures(steps=0), "steps is 0"),
        (lambda: TrainedFeatures(widths=()), "widths is"),
        (lambda: SavedFeatures(nn.Flatten()), "no classification head"),
        (lambda: SavedFeatures().fit_images(dots()), "weights is null"),
        (lambda: SavedFeatures(weights=str(tmp_path)).fit_images(dots()), "no best-"),
    ]:
        with pytest.raises(UserError, match=words):
            make()
    with pytest.raises(UserError, match="class each"):
        TrainedFeatures().fit_images(lambda: ({IMAGE: b[IMAGE], INDEX: b[INDEX]} for b in dots()()))
    torch.save({"state_dict": {f"network.{k}": v for k, v in LeNet5(10).state_dict().items()}}, tmp_path / "bare.ckpt")
    with pytest.raises(UserError, match="how the images of its run were normalized"):
        SavedFeatures(LeNet5(10), weights=str(tmp_path / "bare.ckpt")).fit_images(dots())
    for features in (TrainedFeatures(), SavedFeatures(LeNet5(10)), InceptionFeatures()):
        features.check_data(INFO)
