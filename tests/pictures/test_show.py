"""Normalized images as uint8 ones."""

import pytest
import torch

from lightning_cv.pictures import show_images
from lightning_cv.pictures.show import SIDE_PX

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_the_image_before_normalization_comes_back(channels, dtype):
    """Oracle: the uint8 images that were normalized; half precision may be off by one of 255."""
    images = torch.randint(256, (3, channels, 5, 7), generator=GENERATOR, dtype=torch.uint8)
    mean, std = torch.tensor([0.4, 0.5, 0.3][:channels]), torch.tensor([0.2, 0.1, 0.25][:channels])
    normalized = (images / 255 - mean[:, None, None]) / std[:, None, None]
    shown = show_images(normalized.to(dtype), mean.tolist(), std.tolist())
    off = (shown.int() - images.int()).abs().max()
    assert shown.dtype == torch.uint8
    assert off <= (dtype == torch.float16)


def test_values_beyond_black_and_white_are_black_and_white():
    assert show_images(torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2), [0.5], [0.5]).flatten().tolist() == [0, 255]


@pytest.mark.parametrize(("channels", "shown"), [(2, 1), (4, 3), (13, 3)])
def test_of_other_numbers_of_channels_the_first_are_shown(channels, shown):
    images = torch.rand(2, channels, 4, 4, generator=GENERATOR)
    picture = show_images(images, [0.0] * channels, [1.0] * channels)
    assert torch.equal(picture, (images[:, :shown] * 255).round().to(torch.uint8))


@pytest.mark.parametrize(
    ("size", "expected"), [((352, 88), (176, 44)), ((100, 3520), (5, 176)), ((176, 90), (176, 90))]
)
def test_large_images_are_made_small_and_keep_their_shape_and_mean(size, expected):
    """One flat grey stays that grey."""
    shown = show_images(torch.zeros(1, 1, *size), [0.4], [0.2])
    assert shown.shape[-2:] == expected
    assert max(shown.shape) == SIDE_PX
    assert (shown == 102).all()
