"""Images side by side with captions."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.pictures import BAD, GOOD, Caption, Tile, grid_picture
from lightning_cv.pictures.show import SIDE_PX

FRAME = (200, 200, 200)


def colors(picture: Image.Image) -> Counter:
    return Counter(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))


def plain(color: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> torch.Tensor:
    return torch.tensor(color, dtype=torch.uint8).view(3, 1, 1).expand(3, *size)


def test_a_pixel_of_a_small_image_becomes_a_square_of_whole_pixels():
    """2 x 2 pixels of four colours: four squares of 88 x 88, less the frame of one pixel around all."""
    image = torch.tensor([[[255, 0], [0, 9]], [[0, 255], [0, 8]], [[0, 0], [255, 7]]], dtype=torch.uint8)
    count = colors(grid_picture([Tile(image)], ""))
    square = (SIDE_PX // 2) ** 2 - (SIDE_PX - 1)
    assert [count[color] for color in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)]] == [square] * 4


@pytest.mark.parametrize(("number", "rows", "columns"), [(1, 1, 1), (3, 2, 2), (7, 3, 3), (16, 4, 4)])
def test_images_stand_in_the_order_given_row_by_row(number, rows, columns):
    """Oracle: where the centre of each image's colour lies in the picture."""
    shades = [(5 + 10 * n, 250, 3) for n in range(number)]
    array = np.asarray(grid_picture([Tile(plain(shade)) for shade in shades], "title")).astype(int)
    centres = [np.argwhere((array == shade).all(2)).mean(0) for shade in shades]
    by_row = [(round(y), round(x)) for y, x in centres]
    assert by_row == sorted(by_row)
    assert len({y for y, _ in by_row}) == rows
    assert len({x for _, x in by_row}) == columns


def test_grey_images_are_grey_and_a_frame_tells_white_ones_from_the_page():
    count = colors(grid_picture([Tile(torch.full((1, 4, 4), 255, dtype=torch.uint8))], ""))
    assert count[FRAME] == 4 * (SIDE_PX - 1)
    assert colors(grid_picture([Tile(torch.full((1, 4, 4), 77, dtype=torch.uint8))], ""))[(77, 77, 77)] == 174**2


def test_captions_are_written_in_their_colours_inside_the_picture():
    """A long caption makes its tile higher, not wider, and nothing is written over the next tile's image."""
    short = [
        Tile(plain((1, 2, 3)), [Caption("label", "cat", GOOD), Caption("predicted", "dog", BAD, "(99%)")], "a")
    ] * 2
    text = "carrier, " * 40
    long = [Tile(plain((1, 2, 3)), [Caption("label", text, GOOD), Caption("predicted", text, BAD, "(99%)")], text)] * 2
    one, other = grid_picture(short, "t"), grid_picture(long, "t")
    assert one.width == other.width
    assert other.height > one.height
    assert {GOOD, BAD} <= colors(one).keys()
    assert colors(other)[GOOD] > colors(one)[GOOD]
    assert colors(other)[(1, 2, 3)] == colors(one)[(1, 2, 3)] == 2 * (SIDE_PX - 2) ** 2
    edge = np.asarray(other)
    assert (edge[:, :10] == 255).all()
    assert (edge[:, -10:] == 255).all()
    assert (edge[-10:] == 255).all()


def test_rows_do_not_cover_one_another():
    """Four tiles with long captions show twice the letters of two."""
    tile = Tile(plain((1, 2, 3)), [Caption("label", "carrier, " * 40, GOOD), Caption("predicted", "dog", BAD)], "name")
    two, four = (colors(grid_picture([tile] * number, "")) for number in (2, 4))
    assert [four[color] for color in (GOOD, BAD, (1, 2, 3))] == [2 * two[color] for color in (GOOD, BAD, (1, 2, 3))]


def test_wide_images_leave_no_empty_space():
    """Images of 8 x 88 pixels, enlarged to 16 x 176, take 160 pixels less than square ones."""
    wide, square = (grid_picture([Tile(plain((1, 2, 3), size))], "t") for size in ((8, 88), (88, 88)))
    assert square.height - wide.height == 160


def test_without_images_there_is_the_title_alone():
    picture = grid_picture([], "val, step 3: no mistakes in 20 images")
    assert picture.height < 100
    assert colors(picture)[(0, 0, 0)] > 100
