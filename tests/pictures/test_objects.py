"""Objects are drawn where they are."""

import numpy as np
import torch

from lightning_cv.pictures.objects import FOUND, THERE, Shape, draw_objects, plain


def grey() -> torch.Tensor:
    return torch.full((3, 40, 80), 100, dtype=torch.uint8)


def test_a_picture_is_as_large_as_asked_whatever_the_image():
    """Small ones are enlarged, large ones made smaller, grey ones have three channels."""
    assert plain(grey(), side_px=320).size == (320, 160)
    assert plain(grey(), side_px=40).size == (40, 20)
    assert np.asarray(plain(torch.full((1, 8, 8), 7, dtype=torch.uint8))).shape == (320, 320, 3)


def test_boxes_masks_and_keypoints_lie_at_their_place():
    """At four times the size: the outline at the box's corners, the tint inside the mask only, a dot at a keypoint."""
    mask = np.zeros((40, 80), dtype=bool)
    mask[10:20, 30:40] = True
    shape = Shape((20, 8, 60, 30), "", THERE, mask, [(50.0, 25.0)])
    drawn = np.asarray(draw_objects(grey(), [shape], side_px=320)).astype(int)
    for x, y in ((80, 32), (238, 32), (80, 118), (150, 32)):
        assert tuple(drawn[y, x]) == THERE
    assert tuple(drawn[100, 200]) == THERE, "the keypoint"
    inside, outside = drawn[40:80, 120:160].mean((0, 1)), drawn[90:95, 100:110].mean((0, 1))
    assert np.allclose(outside, 100)
    assert inside[1] > 120
    assert inside[0] < 80
    assert tuple(drawn[2, 2]) == (100, 100, 100)


def test_texts_stay_on_the_picture_and_do_not_cover_each_other():
    """What is there is written above its box, what was found below it; at the border it moves in."""
    there = draw_objects(grey(), [Shape((0, 0, 80, 40), "a name", THERE)], side_px=320)
    found = draw_objects(grey(), [Shape((0, 0, 80, 40), "a name 0.9", FOUND)], side_px=320)
    top, bottom = np.asarray(there).astype(int), np.asarray(found).astype(int)
    green, red = (top == THERE).all(-1), (bottom == FOUND).all(-1)
    assert green[3:14, 2:40].mean() > 0.3
    assert red[-13:-2, 2:40].mean() > 0.3
    assert not green[80:140, 10:300].any()


def test_an_object_beyond_the_image_draws_no_error():
    """A box partly outside, a name that the font cannot write, a mask of nothing."""
    shapes = [Shape((-20, -20, 500, 500), "\u4e2d", FOUND, np.zeros((40, 80), dtype=bool), [(-5.0, 900.0)])]
    assert draw_objects(grey(), shapes).size == (320, 160)
