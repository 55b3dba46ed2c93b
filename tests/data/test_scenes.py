"""Scenes of handwritten digits are what they say, and always the same."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lightning_cv.contracts import Stage
from lightning_cv.data import Scenes
from lightning_cv.data.scene_drawing import EXTREMES
from lightning_cv.data.scenes import _glyphs
from lightning_cv.errors import UserError

SMALL = {"num_train": 30, "num_val": 10, "num_test": 10, "size_px": 64, "object_px": (16, 40)}


def test_a_box_is_the_smallest_around_the_mask_and_an_area_its_pixels():
    """By the definition, pixel by pixel; objects do not share pixels, and each is seen."""
    split = Scenes(masks=True, **SMALL).load(Stage.TRAIN)
    for index in range(len(split)):
        image, objects = split[index]
        assert image.shape == (3, 64, 64)
        assert image.dtype == torch.uint8
        for box, area, mask in zip(objects.boxes.tolist(), objects.areas.tolist(), objects.masks, strict=True):
            y, x = mask.nonzero().unbind(1)
            assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert area == mask.sum()
        assert objects.masks.sum(0).amax() <= 1


def test_keypoints_are_the_ends_of_the_digit():
    """Nothing of the mask lies beyond them, where the digit is whole; hidden ones lie where another digit is."""
    split = Scenes(masks=True, keypoints=True, max_objects=3, **SMALL).load(Stage.TRAIN)
    whole = hidden = 0
    for index in range(len(split)):
        _, objects = split[index]
        for box, points, mask in zip(objects.boxes, objects.keypoints, objects.masks, strict=True):
            x, y, seen = points.unbind(1)
            if (seen == 2).all():
                whole += 1
                assert (y[0], x[1], y[2], x[3]) == (box[1] + 0.5, box[2] - 0.5, box[3] - 0.5, box[0] + 0.5)
            for px, py, v in points.tolist():
                assert bool(mask[int(py), int(px)]) == (v == 2)
                hidden += v == 1
    assert whole > 20
    assert hidden > 0
    assert EXTREMES.swaps == (0, 3, 2, 1)


def test_parts_are_drawn_with_digits_of_their_own():
    """Training, validation and test share no handwritten digit; together they are all 1,797."""
    parts = [_glyphs(number, tuple(range(10))) for number in range(3)]
    positions = {image.tobytes() for image in load_digits().images}
    drawn = [{image.tobytes() for image in glyphs} for glyphs, _ in parts]
    assert sum(len(glyphs) for glyphs, _ in parts) == 1797
    assert sum(map(len, drawn)) == len(set().union(*drawn)) == len(positions)
    for glyphs, labels in parts:
        assert labels.unique().tolist() == list(range(10))
        assert len(glyphs) == len(labels)


def test_a_scene_depends_on_its_seed_and_number_only():
    """Whatever was asked for before, and however many there are."""
    split, longer = Scenes(**SMALL).load(Stage.TRAIN), Scenes(**{**SMALL, "num_train": 99}).load(Stage.TRAIN)
    late, early = split[20], longer[20]
    assert torch.equal(late[0], early[0])
    assert torch.equal(late[1].boxes, early[1].boxes)
    other = Scenes(scene_seed=1, **SMALL).load(Stage.TRAIN)
    assert not torch.equal(other[20][0], late[0])
    assert not torch.equal(Scenes(**SMALL).load(Stage.VAL)[0][0], split[0][0])


def test_options_say_what_is_on_the_scenes():
    """Sizes within their range, no more than max_objects, the chosen digits as classes, as many empty as stated."""
    data = Scenes(digits=[7, 1], max_objects=2, empty=0.5, **{**SMALL, "num_train": 200})
    split = data.load(Stage.TRAIN)
    assert split.class_names == ("7", "1")
    counts = [len(split[index][1]) for index in range(200)]
    assert max(counts) == 2
    assert np.mean(np.array(counts) == 0) == pytest.approx(0.5, abs=0.1)
    heights = torch.cat([split[index][1].boxes[:, 3] - split[index][1].boxes[:, 1] for index in range(200)])
    assert heights.max() <= 40
    labels = torch.cat([split[index][1].labels for index in range(200)])
    assert set(labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size_px": 8}, "size_px: 8 given, allowed: 32 or more"),
        ({"object_px": (50, 20)}, "object_px"),
        ({"object_px": (20, 200)}, "object_px"),
        ({"digits": [1, 1]}, "digits"),
        ({"digits": [11]}, "digits"),
        ({"empty": 2.0}, "empty"),
        ({"num_train": 0}, "num_train"),
        ({"max_objects": 0}, "max_objects"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        Scenes(**options)
