"""Every detector keeps the contract `Detector`, whatever is on the images."""

import inspect

import pytest
import torch

import lightning_cv.networks.detect
from lightning_cv.contracts import Detections, Objects
from lightning_cv.networks.detect.base import BatchDetector
from tests.networks.detect.inputs import CLASSES, DETECTORS, KEYPOINTS, batch_of
from tests.tolerances import assert_close

SIZES = [(64, 64), (64, 96), (48, 64), (64, 64)]
each = pytest.mark.parametrize("name", DETECTORS)


@pytest.fixture
def make(name):
    torch.manual_seed(0)
    return DETECTORS[name]


def test_every_detector_is_tested():
    """A detector that is exported has a case."""
    exported = {name: getattr(lightning_cv.networks.detect, name) for name in lightning_cv.networks.detect.__all__}
    detectors = {n for n, c in exported.items() if issubclass(c, BatchDetector) and not inspect.isabstract(c)}
    assert detectors == set(DETECTORS)


@each
def test_every_trained_parameter_gets_a_gradient_and_all_losses_are_scalars(make, name):
    """rows 180, 183, 185, 188, 192, 193, 196, 198, 221, 224: after one backward, by name."""
    network = make().train()
    images, sizes, objects = batch_of([(64, 64)] * 3, [2, 3, 1])
    output = network(images, sizes, objects)
    assert output.losses
    assert not output.detections
    assert all(value.ndim == 0 and value.isfinite() for value in output.losses.values())
    torch.stack(list(output.losses.values())).sum().backward()
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    assert not [n for n, p in trained.items() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in trained.values())
    # Levels of a pyramid on which no object lies, and queries that all begin alike, have gradients that are zero.
    assert sum(bool(p.grad.any()) for p in trained.values()) > 0.7 * len(trained)


@each
@pytest.mark.parametrize("counts", [(0, 0), (0, 2)], ids=["none", "some"])
def test_images_without_objects_train_with_finite_losses(make, counts):
    """row 191: also where no image of a batch has any object; all gradients are finite."""
    network = make().train()
    images, sizes, objects = batch_of([(64, 64)] * 2, counts)
    losses = network(images, sizes, objects).losses
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@each
def test_what_is_said_of_an_image_depends_on_no_other_and_not_on_padding(make):
    """Detections and losses of images of different sizes together are those of each alone; nothing is drawn from the
    generators of the training."""
    network = make().eval()
    images, sizes, objects = batch_of(SIZES, [2, 1, 3, 0])
    with torch.no_grad():
        before = torch.get_rng_state()
        together = network(images, sizes, objects)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(123)
        again = network(images, sizes, objects)
        assert all(torch.equal(again.losses[loss], value) for loss, value in together.losses.items())
        alone = [
            network(images[row : row + 1, :, : size[0], : size[1]], sizes[row : row + 1], objects[row : row + 1])
            for row, size in enumerate(SIZES)
        ]
    assert len(together.detections) == len(SIZES)
    for found, other in zip(together.detections, alone, strict=True):
        assert_same(found, other.detections[0])
    for loss, value in together.losses.items():
        assert_close(value, torch.stack([other.losses[loss] for other in alone]).mean())


@each
def test_detections_lie_on_their_image_the_surest_first(make, name):
    """Boxes inside, scores in [0, 1] falling, labels of the classes; masks and keypoints where it finds them."""
    network = make().eval()
    images, sizes, _ = batch_of(SIZES, [2, 1, 3, 0])
    with torch.no_grad():
        output = network(images, sizes)
    assert not output.losses
    assert sum(map(len, output.detections)) > 0
    for found, (height, width) in zip(output.detections, SIZES, strict=True):
        count = len(found)
        assert found.boxes.shape == (count, 4)
        assert (found.boxes >= -1e-4).all()
        assert (found.boxes <= torch.tensor([width, height, width, height]) + 1e-4).all()
        assert (found.scores.diff() <= 0).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert ((found.labels >= 0) & (found.labels < CLASSES)).all()
        assert (found.masks is not None) == (name == "MaskRcnn")
        assert (found.keypoints is not None) == (name == "KeypointRcnn")
        if found.masks is not None:
            assert found.masks.shape == (count, height, width)
            assert ((found.masks >= 0) & (found.masks <= 1)).all()
        if found.keypoints is not None:
            assert found.keypoints.shape == (count, KEYPOINTS, 3)


@each
def test_weights_survive_a_file(make, tmp_path):
    """As a file that is safe to load, into a network with other weights."""
    network = make().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(9)
    other = DETECTORS[type(network).__name__]().eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images, sizes, _ = batch_of([(64, 64)], [2])
    with torch.no_grad():
        assert_same(network(images, sizes).detections[0], other(images, sizes).detections[0])


@each
def test_it_trains_in_half_precision(make):
    """bf16: losses are finite, and detections are in float32."""
    network = make().train()
    images, sizes, objects = batch_of([(64, 64)] * 2, [2, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = torch.stack([value.float() for value in network(images, sizes, objects).losses.values()]).sum()
        total.backward()
        assert total.isfinite()
        with torch.no_grad():
            found = network.eval()(images, sizes).detections[0]
    assert found.boxes.dtype == found.scores.dtype == torch.float32


def assert_same(left: Detections, right: Detections) -> None:
    assert torch.equal(left.labels, right.labels)
    assert_close(left.scores, right.scores)
    torch.testing.assert_close(left.boxes, right.boxes, rtol=1e-4, atol=1e-3)
    if left.masks is not None:
        torch.testing.assert_close(left.masks, right.masks, rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
@each
def test_a_gpu_trains_it_and_finds_what_a_cpu_finds(make):
    """Losses are finite with bf16 on a GPU; detections of float32 are those of the CPU, but for rounding."""
    network = make().eval()
    images, sizes, objects = batch_of(SIZES, [2, 1, 3, 0])
    with torch.no_grad():
        here = network(images, sizes).detections
        there = network.cuda()(images.cuda(), sizes).detections
    for one, other in zip(here, there, strict=True):
        assert abs(len(one) - len(other)) <= 0.1 * max(len(one), 10)
        best = min(3, len(one), len(other))
        torch.testing.assert_close(other.scores[:best].cpu(), one.scores[:best], rtol=1e-2, atol=1e-2)
    moved = [Objects(**{k: v.cuda() for k, v in vars(each).items()}) for each in objects]
    with torch.autocast("cuda", dtype=torch.bfloat16):
        losses = network.train()(images.cuda(), sizes, moved).losses
    total = torch.stack([value.float() for value in losses.values()]).sum()
    total.backward()
    assert total.isfinite()
