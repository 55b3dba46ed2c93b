"""Classes are laid over the pixels that have them, and the legend says what each colour means."""

import json

import numpy as np
import torch

from lightning_cv.contracts import OVERLAYS
from lightning_cv.pictures.mosaic import Mosaic, numbered
from lightning_cv.pictures.objects import plain
from lightning_cv.pictures.pixels import below, beside, lay_over, legend

COLORS = ((0, 0, 0), (200, 0, 0), (0, 0, 200))


def grey(size: tuple[int, int] = (20, 40)) -> torch.Tensor:
    return torch.full((3, *size), 100, dtype=torch.uint8)


def test_colours_lie_over_their_pixels_and_black_hides_nothing():
    """At eight times the size: 0.4 of the image and 0.6 of the colour inside, a white line between two classes."""
    classes = np.zeros((20, 40), dtype=np.int64)
    classes[:, 10:30], classes[:, 30:] = 1, -1
    drawn = np.asarray(lay_over(grey(), classes, COLORS, side_px=320)).astype(int)
    assert drawn.shape == (160, 320, 3)
    assert tuple(drawn[80, 40]) == (100, 100, 100)
    assert tuple(drawn[80, 160]) == (40 + 120, 40, 40)
    assert tuple(drawn[80, 300]) == (40 + 153,) * 3, "unknown pixels are white"
    assert tuple(drawn[80, 79]) == (255, 255, 255), "the line between two classes"
    assert tuple(drawn[80, 82]) == (160, 40, 40)


def test_lines_divide_segments_of_one_class():
    classes = np.ones((20, 40), dtype=np.int64)
    segments = np.arange(40)[None].repeat(20, 0) // 20
    drawn = np.asarray(lay_over(grey(), classes, COLORS, side_px=320, edges=segments)).astype(int)
    assert tuple(drawn[80, 159]) == (255, 255, 255)
    assert tuple(drawn[80, 100]) == (160, 40, 40)


def test_a_legend_has_every_colour_and_stays_as_wide_as_it_may():
    """In as many rows as names need; a name of any length and script fits."""
    names = [f"class {n}" for n in range(30)] + ["x" * 300, "猫"]
    colors = [(n * 8, 255 - n * 8, 77) for n in range(32)]
    picture = legend(names, colors, 400)
    assert picture.width == 400
    pixels = {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}
    assert set(colors) <= pixels
    assert legend(names[:1], colors[:1], 400).height < 40 < picture.height


def test_pictures_stand_beside_and_below_each_other():
    one, two = plain(grey(), side_px=100), plain(grey((40, 20)), side_px=60)
    assert beside([one, two]).size == (100 + 4 + 30, 60)
    assert below(one, two).size == (100, 110)


def test_a_mosaic_tells_what_lies_where():
    """Classes below 0 are nothing; masks with nothing are left out; each image begins at its corner."""
    pictures = [plain(grey(), side_px=40) for _ in range(3)]
    mosaic = Mosaic(pictures, 40)
    assert list(mosaic.corners(3)) == [(0, 0), (40, 0), (0, 40)]
    mask = mosaic.empty_mask()
    assert mask.shape == (80, 80)
    mask[40:60, 0:40] = numbered(np.full((20, 40), 1))
    picture = mosaic.finished(["a", "b"], boxes={}, masks={"predictions": mask, "ground_truth": mosaic.empty_mask()})
    told = json.loads(picture.info[OVERLAYS])
    assert set(told["masks"]) == {"predictions"}
    values, counts = zip(*told["masks"]["predictions"], strict=True)
    assert (np.repeat(values, counts).reshape(told["size"]) == mask).all()
    assert told["class_labels"] == {"0": "a", "1": "b"}
    assert numbered(np.array([-100, -1, 0, 254, 300])).tolist() == [0, 0, 1, 255, 255]
