"""torchvision's augmentations move what belongs to an image along with it, and leave validation alone."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from lightning_cv.contracts import IMAGE
from lightning_cv.data import Digits


def scene() -> dict[str, torch.Tensor]:
    """One bright rectangle: as pixels, as a box, as a mask, and its corner as a keypoint."""
    image = torch.zeros(3, 32, 48, dtype=torch.uint8)
    image[:, 6:18, 8:30] = 255
    size = (32, 48)
    return {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask((image[:1] > 0).to(torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes([[8, 6, 30, 18]], format="XYXY", canvas_size=size),
        "points": tv_tensors.KeyPoints([[8.0, 6.0]], canvas_size=size),
    }


def test_all_that_belongs_to_an_image_flips_with_it():
    """row 35: image, mask, box and keypoint are mirrored together; twice is the identity."""
    flip = v2.RandomHorizontalFlip(p=1.0)
    flipped = flip(scene())
    bright = (flipped["image"][0] == 255).nonzero()
    assert bright[:, 1].min() == 18
    assert bright[:, 1].max() == 39
    assert torch.equal(flipped["mask"][0] > 0, flipped["image"][0] == 255)
    assert flipped["boxes"].tolist() == [[18, 6, 40, 18]]
    assert flipped["points"].tolist() in ([[39.0, 6.0]], [[40.0, 6.0]])
    again, before = flip(flipped), scene()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_color_jitter_touches_colors_alone():
    """row 37: mask, boxes and keypoints are the same; strength 0 changes no pixel."""
    before = scene()
    jittered = v2.ColorJitter(0.5, 0.5, 0.5, 0.1)(scene())
    assert not torch.equal(jittered["image"], before["image"])
    assert all(torch.equal(jittered[name], before[name]) for name in ("mask", "boxes", "points"))
    assert torch.equal(v2.ColorJitter(0, 0, 0, 0)(scene())["image"], before["image"])


def test_a_mask_is_sheared_with_its_image():
    """row 38: the overlap of the sheared mask and the sheared bright pixels is above 0.95, and it did move."""
    torch.manual_seed(1)
    sheared = v2.RandomAffine(degrees=0, shear=(25, 25))(scene())
    bright, mask = sheared["image"][0] > 127, sheared["mask"][0] > 0
    assert (bright & mask).sum() / (bright | mask).sum() > 0.95
    assert not torch.equal(mask, scene()["mask"][0] > 0)


@pytest.mark.parametrize("area", [(0.1, 0.1), (0.02, 0.3)])
def test_erasing_zeroes_a_share_of_the_pixels(area):
    """row 41: of an image without zeros, the zeroed share lies in the range, up to whole pixels."""
    image = torch.full((3, 40, 40), 200, dtype=torch.uint8)
    erase = v2.RandomErasing(p=1.0, scale=area, ratio=(0.5, 2.0), value=0)
    shares = [float((erase(image)[0] == 0).float().mean()) for _ in range(20)]
    assert all(area[0] - 0.015 <= share <= area[1] + 0.015 for share in shares)


def test_automatic_augmentation_repeats_with_its_seed_and_may_do_nothing():
    """row 43: RandAugment with no operation is the identity; with a seed it repeats, as TrivialAugment does."""
    image = torch.randint(256, (3, 24, 24), dtype=torch.uint8)
    assert torch.equal(v2.RandAugment(num_ops=0)(image), image)
    for transform in (v2.RandAugment(), v2.TrivialAugmentWide()):
        drawn = []
        for seed in (5, 5, 6, 7, 8):
            torch.manual_seed(seed)
            drawn.append(transform(image))
        assert torch.equal(drawn[0], drawn[1])
        assert any(not torch.equal(drawn[0], other) for other in drawn[2:])


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomResizedCrop((8, 8), scale=(0.3, 0.6), antialias=True),
        v2.RandomErasing(p=1.0),
        v2.RandAugment(),
        v2.RandomAffine(10, shear=20),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_validation_is_never_augmented(transform):
    """rows 36, 38, 41, 43: training images change and keep the fixed size; those of validation are the plain ones."""
    plain, augmented = Digits(), Digits(train_transform=transform)
    for data in (plain, augmented):
        data.setup("fit")
    for first, second in zip(plain.val_dataloader(), augmented.val_dataloader(), strict=True):
        assert torch.equal(first[IMAGE], second[IMAGE])
    trained, untouched = next(iter(augmented.train_dataloader()))[IMAGE], next(iter(plain.train_dataloader()))[IMAGE]
    assert trained.shape == untouched.shape == (64, 1, 8, 8)
    assert not torch.equal(trained, untouched)
