"""Lens distortion moves pixels along their radius as the formula says."""

import pytest
import torch
from torchvision import tv_tensors

from lightning_cv.data import RandomLensDistortion
from lightning_cv.data.lens_distortion import distort
from lightning_cv.errors import UserError


def coordinates(size: int) -> torch.Tensor:
    """Channels x and y, from -1 to 1 at the edges."""
    line = torch.linspace(-1, 1, size)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size)])


@pytest.mark.parametrize("k", [-0.3, -0.1, 0.2, 0.3])
def test_what_is_seen_at_r_was_at_r_times_one_plus_k_r_squared(k):
    """row 39: an image of its own coordinates shows where each pixel came from; the centre pixel stays."""
    size = 65
    before = coordinates(size)
    seen = distort(before, k)
    squared = before.square().sum(0) / 2  # a corner has radius 1
    came_from = before * (1 + k * squared)
    inside = (came_from.abs() <= 1).all(0)
    assert (seen - came_from)[:, inside].abs().max() < 1e-5
    assert not seen[:, (came_from.abs() > 1.1).any(0)].any()
    assert seen[:, size // 2, size // 2].abs().max() < 1e-6


def test_strength_zero_changes_no_bit():
    """row 39: k = 0 is the identity, for uint8 images too."""
    image = torch.randint(256, (3, 9, 12), dtype=torch.uint8)
    assert torch.equal(RandomLensDistortion(0.0, p=1.0)(image), image)
    assert torch.equal(distort(image, 0.0), image)


def test_a_mask_moves_with_its_image():
    """row 39: both by one k, the mask without values that it did not have; the same seed gives the same k."""
    image = torch.zeros(1, 33, 33, dtype=torch.uint8)
    image[:, 2:14, 2:14] = 255
    both = {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask((image[0] > 0).to(torch.uint8))}
    transform = RandomLensDistortion(0.3, p=1.0)
    torch.manual_seed(2)
    moved = transform(both)
    torch.manual_seed(2)
    again = transform(both)
    assert isinstance(moved["mask"], tv_tensors.Mask)
    assert torch.equal(moved["image"], again["image"])
    bright, mask = moved["image"][0] > 127, moved["mask"] > 0
    assert not torch.equal(mask, both["mask"] > 0)
    assert (bright & mask).sum() / (bright | mask).sum() > 0.95


def test_wrong_settings_are_told_in_one_line():
    """They name the option and what is allowed."""
    with pytest.raises(UserError, match=r"strength: 0.4 given, allowed: 0 to below 1/3"):
        RandomLensDistortion(0.4)
    with pytest.raises(UserError, match="p: 2 given, allowed: 0 to 1"):
        RandomLensDistortion(p=2)
    boxes = tv_tensors.BoundingBoxes([[0, 0, 2, 2]], format="XYXY", canvas_size=(4, 4))
    with pytest.raises(UserError, match="boxes and keypoints are not moved"):
        RandomLensDistortion(p=1.0)(torch.zeros(1, 4, 4), boxes)
