"""Flips, crops and cutouts of whole batches draw for each sample and do what torchvision's functions do."""

import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import functional as reference

from lightning_cv.data import Cutout, RandomCrop, RandomHorizontalFlip
from lightning_cv.errors import UserError
from lightning_cv.ops import sample_keys

KEYS = sample_keys(0, 0, torch.arange(500))


def images(num_images=500, size=(9, 12), dtype=torch.uint8):
    values = torch.randint(1, 256, (num_images, 3, *size), dtype=torch.uint8)
    return values if dtype == torch.uint8 else values.to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_image_is_flipped_as_torchvision_flips_it_or_stays(dtype):
    """Row 35: with frequency p within the binomial's 0.1% bounds."""
    batch = images(dtype=dtype)
    out = RandomHorizontalFlip(p=0.3)(batch, KEYS)
    flipped = torch.tensor([torch.equal(o, reference.horizontal_flip(i)) for o, i in zip(out, batch, strict=True)])
    same = torch.tensor([torch.equal(o, i) for o, i in zip(out, batch, strict=True)])
    assert (flipped ^ same).all()
    assert stats.binomtest(int(flipped.sum()), 500, 0.3).pvalue > 0.001


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_flipping_twice_is_the_identity(p):
    """Row 35."""
    flip = RandomHorizontalFlip(p)
    batch = images()
    assert torch.equal(flip(flip(batch, KEYS), KEYS), batch)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_crop_is_a_window_of_the_padded_image_and_all_windows_occur_evenly(dtype):
    """Row 36: by brute force over all 25 windows; the size stays."""
    batch = images(dtype=dtype)
    out = RandomCrop(padding=2)(batch, KEYS)
    assert out.shape == batch.shape
    padded = reference.pad(batch, [2, 2, 2, 2])
    counts = torch.zeros(5, 5)
    for top in range(5):
        for left in range(5):
            window = reference.crop(padded, top, left, 9, 12)
            counts[top, left] = (out == window).flatten(1).all(1).sum()
    assert counts.sum() == 500
    assert stats.chisquare(counts.flatten().numpy()).pvalue > 0.001


@pytest.mark.parametrize("area", [(0.02, 0.33), (0.25, 0.25), (0.9, 1.0)])
def test_cutout_zeroes_one_rectangle_whose_share_is_inside_the_range(area):
    """Row 41: connected rectangle, same in all channels, nothing else changes."""
    batch = images(size=(16, 16), dtype=torch.float32)
    out = Cutout(area=area, p=1.0)(batch, KEYS)
    zeroed = out == 0
    assert torch.equal(out[~zeroed], batch[~zeroed])
    assert torch.equal(zeroed, zeroed[:, :1].expand_as(zeroed))
    share = zeroed[:, 0].flatten(1).float().mean(1)
    assert (share >= area[0] - 1e-6).all()
    assert (share <= area[1] + 1e-6).all()
    heights, widths = zeroed[:, 0].any(2).sum(1), zeroed[:, 0].any(1).sum(1)
    assert torch.equal(heights * widths, zeroed[:, 0].flatten(1).sum(1)), "a filled rectangle"
    aspect = torch.maximum(heights / widths, widths / heights)
    assert aspect.max() <= 10 / 3


def test_cutout_areas_are_uniform_over_the_range():
    """Row 41: Kolmogorov-Smirnov against the uniform distribution that Zhong et al. draw from."""
    batch = torch.ones(500, 1, 64, 64)
    share = (Cutout(area=(0.02, 0.2), max_aspect=2, p=1.0)(batch, KEYS) == 0).flatten(1).float().mean(1)
    assert stats.kstest(share.numpy(), "uniform", args=(0.02, 0.18)).pvalue > 0.001


def test_cutout_changes_a_share_p_of_the_images():
    """Row 41."""
    changed = (Cutout(p=0.4)(images(), KEYS) == 0).flatten(1).any(1)
    assert stats.binomtest(int(changed.sum()), 500, 0.4).pvalue > 0.001


@pytest.mark.parametrize("transform", [RandomHorizontalFlip(), RandomCrop(2), Cutout()])
def test_what_a_sample_becomes_does_not_depend_on_its_batch(transform):
    """Rows 35, 36, 41: whole or in parts, in any order."""
    batch = images()
    whole = transform(batch, KEYS)
    order = torch.randperm(500)
    parts = [transform(batch[part], KEYS[part]) for part in order.split(37)]
    assert torch.equal(torch.cat(parts), whole[order])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: RandomHorizontalFlip(1.5), "RandomHorizontalFlip p: 1.5 given, allowed: 0 to 1"),
        (lambda: RandomCrop(0), "RandomCrop padding: 0 given, allowed: 1 or more"),
        (lambda: Cutout(area=(0.5, 0.2)), "Cutout area: .* two ascending numbers"),
        (lambda: Cutout(max_aspect=0.5), "Cutout max_aspect: 0.5 given"),
        (lambda: Cutout(area=(0.001, 0.002))(torch.ones(1, 3, 8, 8), KEYS[:1]), "no rectangle .* 8x8 pixels"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(make, line):
    with pytest.raises(UserError, match=line):
        make()
