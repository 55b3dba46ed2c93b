"""An encoder trained without labels starts a classifier: its weights, what they are worth, and mistakes."""

import copy
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lightning_cv.contracts import DataInfo
from lightning_cv.data import Digits
from lightning_cv.data.partition import balanced
from lightning_cv.errors import UserError
from lightning_cv.networks.classify import EncoderClassifier
from lightning_cv.networks.generate import ConvAutoencoder, Made, MlpAutoencoder, MlpVae
from lightning_cv.networks.saved_part import load_saved, weights_are_replaced
from lightning_cv.ops.draws import StreamDraws
from lightning_cv.record.manifest import describe, write_manifest
from lightning_cv.tasks.fit_to_data import check_network_fits_data
from tests.tolerances import assert_close

BUNCH = load_digits()
DIGITS, LABELS = torch.from_numpy(BUNCH.images).float()[:, None] / 16, torch.from_numpy(BUNCH.target).long()
ORDER = torch.randperm(len(DIGITS), generator=torch.Generator().manual_seed(0))
TRAIN, TEST = ORDER[:1400], ORDER[1400:]


def save(network: nn.Module, path, **more):
    torch.save({"state_dict": {f"network.{name}": value for name, value in network.state_dict().items()}, **more}, path)
    return str(path)


@pytest.mark.parametrize("make", [MlpAutoencoder, ConvAutoencoder, MlpVae])
def test_the_weights_are_those_of_the_file(make, tmp_path):
    """row 239: the code before the last layer is the code of the network that was saved; the decoder is not there."""
    torch.manual_seed(0)
    saved = make()
    built = EncoderClassifier(network=make(), weights=save(saved, tmp_path / "best.ckpt"))
    for name, value in built.encoder.state_dict().items():
        assert torch.equal(value, saved.encoder.state_dict()[name]), name
    code = saved.encode(DIGITS[:5]).mean
    assert_close(built(DIGITS[:5]), built.head(code))
    assert not any("decoder" in name for name, _ in built.named_modules())


def test_averaged_weights_are_taken_where_the_run_scored_by_them(tmp_path):
    """row 239: and raw ones where it did not; from the folder of a run, those of its best snapshot."""
    raw, averaged = MlpAutoencoder(), MlpAutoencoder()
    (tmp_path / "checkpoints").mkdir()
    for scored, expected in (("averaged", averaged), ("raw", raw)):
        best = tmp_path / "checkpoints" / f"best-{scored}.ckpt"
        save(raw, best, averaged_network=averaged.state_dict(), scored=scored)
        write_manifest(best, describe(best, epoch=0, step=1))
        built = EncoderClassifier(network=MlpAutoencoder(), weights=str(tmp_path))
        assert torch.equal(built.encoder.heads[0].weight, expected.encoder.heads[0].weight)


def test_weights_that_are_replaced_anyway_may_be_gone():
    """A run scores, goes on and draws when the run that it started from was deleted."""
    with weights_are_replaced():
        EncoderClassifier(weights="gone.ckpt")
    with pytest.raises(UserError, match="does not exist"):
        EncoderClassifier(weights="gone.ckpt")


def test_a_part_or_all_of_a_network_can_be_loaded(tmp_path):
    """row 239: oracle, the saved module itself."""
    saved, all_of_it, part = MlpAutoencoder(), MlpAutoencoder(), MlpAutoencoder()
    path = save(saved, tmp_path / "a.ckpt")
    before = copy.deepcopy(part.encoder.state_dict())
    load_saved(all_of_it, path)
    load_saved(part.decoder, path, part="decoder")
    for name, value in saved.state_dict().items():
        assert torch.equal(value, all_of_it.state_dict()[name])
        if name.startswith("decoder."):
            assert torch.equal(value, part.state_dict()[name])
    assert all(torch.equal(value, part.encoder.state_dict()[name]) for name, value in before.items())


def autoencoder() -> MlpAutoencoder:
    return MlpAutoencoder(num_latents=32, widths=(256, 128))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    """A checkpoint of an autoencoder that saw the training digits for 1,500 steps, and no label."""
    torch.manual_seed(0)
    network = autoencoder()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(1500):
        images = DIGITS[TRAIN[torch.randint(len(TRAIN), (128,))]]
        loss = network(images, None, StreamDraws(128))["squared_error"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save(network, tmp_path_factory.mktemp("run") / "best.ckpt")


def accuracy(weights: str | None, *, seed: int, encoder_lr: float) -> float:
    """Of the test digits, after 300 steps with the labels of 50 digits, five a class."""
    torch.manual_seed(100 + seed)
    network = EncoderClassifier(network=autoencoder(), weights=weights, freeze=encoder_lr == 0)
    chosen = TRAIN[balanced(LABELS[TRAIN], 50, seed=seed)]
    assert torch.bincount(LABELS[chosen]).tolist() == [5] * 10
    groups = [{"params": network.head.parameters()}, {"params": network.encoder.parameters(), "lr": encoder_lr}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, weight_decay=1e-4)
    for _ in range(300):
        loss = nn.functional.cross_entropy(network(DIGITS[chosen]), LABELS[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (network(DIGITS[TEST]).argmax(1) == LABELS[TEST]).float().mean().item()


def test_with_50_labels_it_is_better_than_from_a_random_start(trained):
    """rows 142, 239: fine-tuned gently, on each of three choices of labels, against all layers trained from scratch."""
    pairs = [(accuracy(trained, seed=s, encoder_lr=3e-4), accuracy(None, seed=s, encoder_lr=3e-3)) for s in range(3)]
    assert all(ours > scratch for ours, scratch in pairs), pairs
    assert sum(ours - scratch for ours, scratch in pairs) / 3 > 0.02


def test_a_linear_probe_is_better_than_that_of_a_random_encoder(trained):
    """row 142: by ten points and more, on each of three choices of labels."""
    pairs = [(accuracy(trained, seed=s, encoder_lr=0), accuracy(None, seed=s, encoder_lr=0)) for s in range(3)]
    assert all(ours > random + 0.10 for ours, random in pairs), pairs


def test_a_frozen_encoder_stays_and_the_other_learns():
    """row 142: gradients reach the last layer alone, or everything."""
    for freeze in (False, True):
        network = EncoderClassifier(freeze=freeze)
        network(DIGITS[:4]).sum().backward()
        assert all((p.grad is None) == freeze for p in network.encoder.parameters())
        assert network.head.weight.grad is not None


def test_normalized_data_are_refused():
    """row 239: an encoder that learned of values in [0, 1] sees these again, or the recipe is wrong."""
    data = Digits(normalize=False)
    data.setup("fit")
    check_network_fits_data(EncoderClassifier(), data.info)
    with pytest.raises(UserError, match=r"takes images in \[0, 1\].*set data.init_args.normalize to false"):
        check_network_fits_data(EncoderClassifier(), replace(data.info, mean=(0.3,), std=(0.3,)))
    assert isinstance(data.info, DataInfo)


def test_few_labels_are_balanced_and_follow_the_seed():
    """row 239: Digits(num_train=50) keeps five of each class; validation and test stay as they are."""
    parts = {}
    for key, options in {"few": {"num_train": 50}, "all": {}, "other": {"num_train": 50, "split_seed": 1}}.items():
        data = Digits(normalize=False, **options)
        data.setup("fit")
        parts[key] = data.load("train"), data.load("val")
    few, everything = parts["few"], parts["all"]
    assert torch.bincount(few[0].labels).tolist() == [5] * 10
    assert torch.equal(few[1].images, everything[1].images)
    known = {image.numpy().tobytes() for image in everything[0].images}
    assert all(image.numpy().tobytes() in known for image in few[0].images)
    assert not torch.equal(few[0].images, parts["other"][0].images)


def test_balanced_takes_turns():
    """row 239: oracle, counts by hand: of a class with one sample it is taken, and the others give more."""
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2, 2])
    chosen = balanced(labels, 6, seed=0)
    assert sorted(torch.bincount(labels[chosen]).tolist()) in ([1, 2, 3],)
    assert torch.bincount(labels[balanced(labels, 3, seed=4)]).tolist() == [1, 1, 1]
    assert set(balanced(labels, 3, seed=4).tolist()) <= set(balanced(labels, 6, seed=4).tolist())
    assert balanced(labels, 8, seed=0).tolist() == list(range(8))


def test_a_mistake_is_one_line(tmp_path):
    torch.save({"state_dict": {"network.body.weight": torch.zeros(1)}}, tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("no")
    torch.save([torch.zeros(1)], tmp_path / "list.ckpt")
    cut = bytearray((tmp_path / "none.ckpt").read_bytes())
    cut[60:200] = bytes(140)
    (tmp_path / "cut.ckpt").write_bytes(cut)
    other = save(MlpAutoencoder(widths=(9,)), tmp_path / "other.ckpt")
    for make, said in [
        (lambda: EncoderClassifier(network=Made()), "Made has no encoder"),
        (lambda: EncoderClassifier(network=MlpVae(num_classes=3)), "allowed: num_classes: null"),
        (lambda: EncoderClassifier(weights="nowhere.ckpt"), "weights is nowhere.ckpt, which does not exist"),
        (lambda: EncoderClassifier(weights=str(tmp_path)), "there is no best-"),
        (lambda: EncoderClassifier(weights=str(tmp_path / "none.ckpt")), "whose network has no encoder"),
        (lambda: EncoderClassifier(weights=str(tmp_path / "text.ckpt")), "which is no checkpoint"),
        (lambda: EncoderClassifier(weights=str(tmp_path / "list.ckpt")), "which is no checkpoint of a run"),
        (lambda: EncoderClassifier(weights=str(tmp_path / "cut.ckpt")), "damaged, or no checkpoint"),
        (lambda: EncoderClassifier(weights=other), "of another network"),
        (lambda: Digits(num_train=0), "num_train: 0 given, allowed: 1 or more"),
        (lambda: Digits(num_train=5000).setup("fit"), "num_train: 5000 given, allowed: up to"),
    ]:
        with pytest.raises(UserError, match=said) as raised:
            make()
        assert "\n" not in str(raised.value)
