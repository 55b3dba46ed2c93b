"""Pictures of shapes show what their class says, and are always the same."""

import math

import numpy as np
import pytest
import torch

from lightning_cv.contracts import Stage
from lightning_cv.data import Shapes
from lightning_cv.data.shape_drawing import COLORS, SHAPES, Shape, coverage, draw_shape
from lightning_cv.errors import UserError

SMALL = {"num_train": 64, "num_val": 32, "num_test": 32}
AREAS = {"square": 1.0, "disc": math.pi / 4, "triangle": 0.5, "cross": 5 / 9}  # of the square around it


@pytest.mark.parametrize("name", SHAPES)
def test_the_coverage_is_the_area_of_the_shape(name):
    """In closed form; what lies outside the square around it is not covered."""
    shape = Shape(name, (200, 0, 0), 10, (15.3, 17.1), 18.0)
    share = coverage(shape, 32)
    assert share.sum() == pytest.approx(AREAS[name] * 18.0**2, rel=0.02)
    y, x = np.nonzero(share)
    assert abs(x + 0.5 - 15.3).max() <= 9.5
    assert abs(y + 0.5 - 17.1).max() <= 9.5


def test_a_pixel_is_a_mixture_of_colour_and_ground():
    shape = Shape("disc", (200, 100, 0), 20, (8.0, 8.0), 10.0)
    image, share = draw_shape(shape, 16).astype(float), coverage(shape, 16)
    for channel, value in enumerate(shape.color):
        assert abs(image[..., channel] - (20 + share * (value - 20))).max() <= 0.5
    assert image[8, 8].tolist() == [200, 100, 0]
    assert image[0, 0].tolist() == [20, 20, 20]


def test_the_class_names_colour_and_shape():
    """By the mean colour of what is not ground, and by how much of the square around it is covered."""
    split = Shapes(size_px=32, shape_px=(16, 24), **SMALL).load(Stage.TRAIN)
    assert len(split.class_names) == 16
    for image, label in zip(split.images.double(), split.labels.tolist(), strict=True):
        color, name = split.class_names[label].split()
        colored = image.amax(0) - image.amin(0) > 60
        mean = image[:, colored].mean(1)
        distances = {key: (mean - torch.tensor(value)).norm() for key, value in COLORS.items()}
        assert min(distances, key=distances.get) == color
        y, x = colored.nonzero().unbind(1)
        area = colored.sum() / ((y.max() - y.min() + 1) * (x.max() - x.min() + 1))
        nearest = min(AREAS, key=lambda key: abs(AREAS[key] - area))
        assert nearest == name or {nearest, name} == {"triangle", "cross"}


def test_classes_are_equally_frequent_whatever_they_are():
    for label_by, names in {"color": tuple(COLORS), "shape": SHAPES}.items():
        split = Shapes(label_by=label_by, **SMALL).load(Stage.TRAIN)
        assert split.class_names == names
        assert torch.bincount(split.labels).tolist() == [16] * 4
    both = Shapes(**SMALL).load(Stage.TRAIN)
    assert torch.bincount(both.labels).tolist() == [4] * 16
    assert [both.class_names[label].split()[1] for label in both.labels] == [names[label] for label in split.labels]


def test_a_picture_depends_on_seed_part_and_number_alone():
    train = Shapes(**SMALL).load(Stage.TRAIN)
    assert torch.equal(Shapes(**{**SMALL, "num_train": 99}).load(Stage.TRAIN).images[:64], train.images)
    assert not torch.equal(Shapes(shape_seed=1, **SMALL).load(Stage.TRAIN).images, train.images)
    parts = [Shapes(**SMALL).load(stage).images for stage in (Stage.TRAIN, Stage.VAL, Stage.TEST)]
    pictures = {image.numpy().tobytes() for part in parts for image in part}
    assert len(pictures) == sum(map(len, parts))


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_val", 0), ("size_px", 4), ("shape_px", (3, 9)), ("shape_px", (9, 20)), ("label_by", "size")],
)
def test_a_mistake_is_one_line(key, value):
    with pytest.raises(UserError, match=key):
        Shapes(**{key: value})
