"""Pictures from outside the data set are predicted as the data set's images are."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.contracts import IMAGE, LABEL, Stage
from lightning_cv.data import Digits
from lightning_cv.errors import UserError
from tests.makers import make_image


def test_a_test_image_written_to_a_file_reaches_the_network_as_it_was(tmp_path):
    """The written digits give the very batch that the data set gives: grey, its size, its normalization."""
    own = Digits(batch_size=4)
    own.setup("test")
    expected = own.on_after_batch_transfer(next(iter(own.test_dataloader())), 0)[IMAGE]
    for index in range(4):
        pixels = own.split(Stage.TEST)[index][0][0].numpy()
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    data = Digits(batch_size=4)
    data.predict_from(tmp_path)
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert LABEL not in batch
    torch.testing.assert_close(data.on_after_batch_transfer(batch, 0)[IMAGE], expected)
    assert data.sample_name(Stage.PREDICT, 2) == str(tmp_path / "2.png")
    assert data.info.num_classes == 10


def test_a_larger_colour_picture_is_brought_to_size_and_channels(tmp_path):
    """One file of any size: grey, 8x8, its mean brightness kept."""
    path = make_image(tmp_path / "big.png", size_px=(40, 64))
    data = Digits(batch_size=4, normalize=False)
    data.predict_from(path)
    data.setup("predict")
    image = data.on_after_batch_transfer(next(iter(data.predict_dataloader())), 0)[IMAGE]
    assert image.shape == (1, 1, 8, 8)
    grey = np.asarray(Image.open(path).convert("L")) / 255
    assert image.mean().item() == pytest.approx(grey.mean(), abs=0.02)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_pictures_that_are_not_there_are_named(tmp_path, name):
    """One line with the path."""
    (tmp_path / "empty").mkdir()
    data = Digits()
    data.predict_from(tmp_path / name)
    with pytest.raises(UserError, match=str(tmp_path / name)):
        data.setup("predict")
