"""The task PanopticSegment: losses, panoptic quality of the set, pictures, files of COCO's format, mistakes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.callbacks import Media
from lightning_cv.contracts import VOID, Panoptic, Pixels, PixelSet, Stage
from lightning_cv.data import CocoPanoptic, Scenes
from lightning_cv.data.masks.panoptic import read_panoptic
from lightning_cv.errors import UserError
from lightning_cv.metrics.panoptic import PanopticScores
from lightning_cv.networks.segment import PanopticFpn, Pyramid, UNet
from lightning_cv.run.panoptic_files import PanopticFiles, segment_picture, segments_info
from lightning_cv.tasks import PanopticSegment
from tests.makers import make_coco_panoptic
from tests.networks.segment.test_panoptic import SMALL
from tests.tasks.reading import ReadingSegments, ToldData
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_quality_is_counted_over_the_whole_set(tmp_path, batch_size):
    """row 223: that of all images at once, whatever the batches, with images of two sizes."""
    split = ToldData(segments=True).load(Stage.TEST)
    network = ReadingSegments().eval()
    oracle = PanopticScores("abcd", network.things)
    for index in range(7):
        image, pixels = split[index]
        oracle.update(network(image[None] / 255, torch.tensor([image.shape[1:]])).found, [pixels])
    task = PanopticSegment(ReadingSegments(), sgd)
    data = ToldData(segments=True, batch_size=batch_size)
    (scores,) = trainer(tmp_path).test(task, datamodule=data, verbose=False)
    expected = {f"test/{name}": value.item() for name, value in oracle.compute().items()}
    assert {name: scores[name] for name in expected} == expected
    assert 0 < expected["test/pq"] < 1


def test_the_weighted_sum_of_the_networks_losses_is_trained():
    data = ToldData(segments=True)
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    task = PanopticSegment(ReadingSegments(), sgd, loss_weights={"loss_two": 0.5})
    output = task.step(task.network, batch)
    assert output.loss.item() == 2 + 0.5 * 3
    assert set(output.terms) == {"loss_one", "loss_two"}
    wrong = PanopticSegment(ReadingSegments(), sgd, loss_weights={"loss": 0.5})
    with pytest.raises(UserError, match=r"loss is no loss of ReadingSegments; allowed: loss_one, loss_two"):
        wrong.step(wrong.network, batch)


def test_pictures_show_classes_and_segments(tmp_path):
    runner = trainer(tmp_path, Media(every_n_epochs=1, num_images=4))
    runner.test(PanopticSegment(ReadingSegments(), sgd), datamodule=ToldData(segments=True), verbose=False)
    with Image.open(next((tmp_path / "media" / "test" / "segmentation").iterdir())) as picture:
        assert min(picture.size) > 400


def test_files_are_read_back_by_the_data_set(tmp_path):
    """row 223: the truth, written as a prediction, is read again as the same classes and segments."""
    make_coco_panoptic(tmp_path / "data")
    data = CocoPanoptic(str(tmp_path / "data"), batch_size=4)
    task = PanopticSegment(PanopticFpn(4, ((0, 2),), Pyramid("small", channels=16, extra="none"), **SMALL), sgd)
    writer = PanopticFiles(tmp_path, data)
    found = trainer(tmp_path, writer).predict(task, datamodule=data)
    predictions = {int(i): p for batch in found for i, p in zip(batch["index"], batch["prediction"], strict=True)}
    folder = tmp_path / "predictions"
    again = read_panoptic(tmp_path / "predictions.json", tmp_path, folder / "segments")
    assert not again.problems
    assert again.class_names == data.info.class_names
    assert again.pixels == data.info.pixels
    original = data.split(Stage.PREDICT)
    for index, image in enumerate(again.images):
        assert image.image_id == original.images[index].image_id
        said = predictions[index]
        numbers = np.asarray(Image.open(image.mask)).astype(np.int64) @ np.array([1, 256, 65536])
        assert (numbers == said["segments"].numpy() + 1).all()
        labels = {number: label for number, (label, crowd) in image.segments.items()}
        assert labels == {number + 1: label for number, label in enumerate(said["labels"].tolist())}
    areas = json.loads((tmp_path / "predictions.json").read_text())["annotations"][0]["segments_info"]
    assert sum(entry["area"] for entry in areas) == int((predictions[0]["segments"] != VOID).sum())
    assert (folder / "overlays" / "000000002000.png").is_file()


def test_segments_beyond_a_byte_keep_their_number():
    segments = torch.arange(70_000).view(200, 350)
    labels = torch.zeros(70_000, dtype=torch.int64)
    found = Panoptic(segments, labels, labels.bool())
    rgb = np.asarray(segment_picture(found)).astype(np.int64)
    assert ((rgb @ np.array([1, 256, 65536])) == segments.numpy() + 1).all()
    assert len({tuple(color) for color in rgb.reshape(-1, 3).tolist()}) == 70_000
    pixels = PixelSet(((0, 0, 0),), (7,), (False,))
    assert segments_info(found, pixels)[300] == {"id": 301, "category_id": 7, "iscrowd": 0, "area": 1}


@pytest.mark.parametrize(
    ("network", "data", "said"),
    [
        (lambda: UNet(12, 3), lambda: Scenes(truth="panoptic", num_train=4, num_val=4), "UNet is no panoptic network"),
        (lambda: small(12, ((2, 12),)), lambda: Scenes(truth="semantic", num_train=4, num_val=4), "have no segments"),
        (lambda: small(9, ((2, 9),)), lambda: Scenes(truth="panoptic", num_train=4), "set its num_classes to 12"),
        (lambda: small(12, ((1, 12),)), lambda: Scenes(truth="panoptic", num_train=4), r"its things to \[\[2, 12\]\]"),
    ],
)
def test_a_network_or_data_that_do_not_fit_are_named(tmp_path, network, data, said):
    with pytest.raises(UserError, match=said):
        trainer(tmp_path).fit(PanopticSegment(network(), sgd), datamodule=data())


def small(classes: int, things) -> PanopticFpn:
    return PanopticFpn(classes, things, Pyramid("small", channels=16, extra="none"), **SMALL)


def test_the_backbone_may_have_a_rate_of_its_own():
    network = small(4, ((0, 2),))
    head = {id(p) for p in PanopticSegment(network, sgd).head().parameters()}
    body = {id(p) for p in network.instances.model.backbone.body.parameters()}
    assert head == {id(p) for p in network.parameters()} - body
    assert body


def test_segments_of_the_truth_are_the_ones_that_are_told():
    """What `Pixels` says is kept where it is asked for."""
    _, pixels = ToldData(segments=True).load(Stage.TRAIN)[0]
    assert isinstance(pixels, Pixels)
    assert pixels.segments is not None
