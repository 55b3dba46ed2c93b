"""Classifiers on fixed features, and k nearest neighbours, learn, vote and are restored as they should."""

import copy

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from lightning_cv.contracts import IMAGE, LABEL
from lightning_cv.data import Digits
from lightning_cv.errors import UserError
from lightning_cv.networks import build_network, num_classes
from lightning_cv.networks.classical import (
    BagOfVisualWords,
    Hog,
    LearnedFeatures,
    LinearOnFeatures,
    NearestNeighbors,
    Pixels,
)
from lightning_cv.networks.classify import SmallResNet
from tests.networks.classical.test_features import batches_of

FEATURES = {"pixels": Pixels, "hog": Hog, "words": lambda: BagOfVisualWords(num_words=8, num_patches=500)}


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits()
    data.setup("fit")
    return data


def all_of(data: Digits) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(data.training_images())
    return torch.cat([b[IMAGE] for b in batches]), torch.cat([b[LABEL] for b in batches])


def test_training_images_are_shown_whole_and_unaugmented(digits):
    """row 19: mean 0, deviation 1 over the training part, from which the statistics are; every image once, in order."""
    images, _ = all_of(digits)
    assert len(images) == 1294
    assert abs(images.mean()) < 1e-3
    assert abs(images.std(correction=0) - 1) < 1e-3
    assert torch.equal(images, all_of(digits)[0])
    held_out = torch.cat([digits.on_after_batch_transfer(b, 0)[IMAGE] for b in digits.val_dataloader()])
    assert abs(held_out.mean()) > 1e-4  # the validation part has a mean of its own


@pytest.mark.parametrize("k", [1, 4, 5])
def test_neighbors_vote_as_scikit_learn_counts(digits, k):
    """row 12: the shares of votes and, where no classes tie, the predictions equal scikit-learn's."""
    images, labels = all_of(digits)
    network = NearestNeighbors(k=k).eval()
    network.fit_images(batches_of(images[:600], labels[:600]))
    oracle = KNeighborsClassifier(k).fit(images[:600].flatten(1).numpy(), labels[:600].numpy())
    votes = torch.from_numpy(oracle.predict_proba(images[600:900].flatten(1).numpy()))
    scores = network(images[600:900])
    shares = scores.exp() * (k + 1) / k - 1 / (10 * k)
    assert (shares - votes).abs().max() < 2e-3
    clear = votes.topk(2, dim=1).values.diff(dim=1).flatten() < 0
    assert torch.equal(scores.argmax(1)[clear], votes.argmax(1)[clear])


def test_one_neighbor_knows_its_own_training_set(digits):
    """row 12: in evaluation each training image is its own nearest one; in training it has no vote."""
    images, labels = all_of(digits)
    network = NearestNeighbors(k=1)
    network.fit_images(digits.training_images)
    assert (network.eval()(images).argmax(1) == labels).float().mean() == 1
    left_out = (network.train()(images).argmax(1) == labels).float().mean()
    assert 0.95 < left_out < 1


def test_equal_votes_are_decided_by_the_nearest():
    """Two classes with one vote each: the class of the nearer image wins."""
    memory = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]]).view(3, 1, 1, 2)
    network = NearestNeighbors(3, features=Pixels((1, 1, 2)), k=2).eval()
    network.fit_images(batches_of(memory, torch.tensor([2, 0, 1])))
    near_first, near_second = torch.tensor([[0.4, 0.0], [0.6, 0.0]]).view(2, 1, 1, 1, 2)
    assert network(near_first).argmax() == 2
    assert network(near_second).argmax() == 0


def test_neighbors_are_closer_in_features_that_a_network_learned():
    """row 12: of noisy shapes, shifted at random, pixels find the class seldom, features of a trained network often."""
    torch.manual_seed(0)

    def shapes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(3, (count,))
        images = 0.4 * torch.randn(count, 1, 16, 16)
        place = torch.randint(2, 10, (count, 2))
        stamp = torch.stack([torch.ones(5, 5), torch.eye(5), torch.eye(5).flip(1)])
        for image, label, (y, x) in zip(images, labels, place.tolist(), strict=True):
            image[0, y : y + 5, x : x + 5] += stamp[label]
        return images, labels

    images, labels = shapes(600)
    network = SmallResNet(3, in_channels=1, widths=[8, 16], blocks_per_stage=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        chosen = torch.randint(len(images), (64,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    unseen, wanted = shapes(300)
    accuracy = {}
    for name, features in (("pixels", Pixels((1, 16, 16))), ("learned", LearnedFeatures(network))):
        neighbors = NearestNeighbors(3, features=features, k=1).eval()
        neighbors.fit_images(batches_of(images, labels))
        accuracy[name] = float((neighbors(unseen).argmax(1) == wanted).float().mean())
    assert accuracy["pixels"] < 0.75
    assert accuracy["learned"] > accuracy["pixels"] + 0.15


@pytest.mark.parametrize("classifier", [LinearOnFeatures, NearestNeighbors])
@pytest.mark.parametrize("features", FEATURES)
def test_what_was_found_travels_with_the_weights(digits, classifier, features, tmp_path):
    """A fresh one that loads the weights scores the same, though it never saw the images; so does a copy."""
    network = classifier(features=FEATURES[features]()).eval()
    images, labels = all_of(digits)
    network.fit_images(batches_of(images[:100], labels[:100]))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = classifier(features=FEATURES[features]()).eval()
    with pytest.raises(UserError, match="has not seen the training images yet"):
        other(images[:2])
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other(images[100:120]), network(images[100:120]))
    assert torch.equal(copy.deepcopy(network)(images[:5]), network(images[:5]))
    assert num_classes(network) == 10


@pytest.mark.parametrize("features", FEATURES)
def test_only_the_classifier_is_trained(digits, features):
    """The parameters with a gradient are the head's; features are standardized over the training images."""
    network = LinearOnFeatures(features=FEATURES[features]())
    network.fit_images(digits.training_images)
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    images, _ = all_of(digits)
    standardized = (network.features(images) - network.mean) * network.factor
    varies = network.factor > 0
    assert standardized.mean(0).abs().max() < 1e-4
    assert (standardized.std(0, correction=0)[varies] - 1).abs().max() < 1e-3


def test_a_bag_of_words_reads_digits_far_better_than_chance(digits):
    """row 15: a linear classifier on it, 100 steps, finds more than twice as many as chance, 0.2."""
    network = LinearOnFeatures(features=BagOfVisualWords(num_words=32, num_patches=4000))
    network.fit_images(digits.training_images)
    images, labels = all_of(digits)
    optimizer = torch.optim.SGD(network.head.parameters(), lr=0.05, momentum=0.9)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images[:1000]), labels[:1000]).backward()
        optimizer.step()
    assert (network(images[1000:]).argmax(1) == labels[1000:]).float().mean() > 0.4


def test_a_network_that_the_parser_cannot_read_is_built_by_its_factory():
    """`build_network` hands options on as they stand, and tells which one is refused."""
    network = build_network(SmallResNet, num_classes=3, in_channels=1, widths=[4], blocks_per_stage=1)
    assert num_classes(network) == 3
    with pytest.raises(UserError, match="unexpected keyword argument 'clases'"):
        build_network(SmallResNet, clases=3)
    with pytest.raises(UserError, match="factory makes a list; allowed"):
        build_network(list)
