"""Boxes, masks and keypoints move with their image."""

import pytest
import torch
from torchvision.transforms import v2

from lightning_cv.contracts import BOX, IMAGE, KEYPOINT, MASK, SIZE, Stage
from lightning_cv.data import RandomObjectFlip, Scenes
from lightning_cv.data.objects import transform_with_objects
from lightning_cv.errors import UserError
from lightning_cv.ops.objects import pack, unpack

SWAPS = (0, 3, 2, 1)


def scenes(number: int = 12):
    split = Scenes(num_train=number, masks=True, keypoints=True, empty=0.0).load(Stage.TRAIN)
    return [split[index] for index in range(number)]


def tight(masks: torch.Tensor) -> torch.Tensor:
    """The smallest boxes around masks: what boxes should be."""
    found = []
    for mask in masks:
        y, x = mask.nonzero().unbind(1)
        found.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return torch.tensor(found).float().view(-1, 4)


def test_a_mirror_image_has_mirrored_objects_and_its_left_is_right():
    """row 35: boxes fit the mirrored masks; the keypoint called left is the leftmost again; twice is as before."""
    for image, objects in scenes():
        flipped, moved = transform_with_objects(RandomObjectFlip(1.0), image, objects, SWAPS)
        assert torch.equal(flipped, image.flip(-1))
        assert torch.equal(moved.masks, objects.masks.flip(-1))
        assert torch.equal(moved.boxes, tight(moved.masks))
        left, right = moved.keypoints[:, 3, 0], moved.keypoints[:, 1, 0]
        assert (left < right).all()
        assert torch.equal(left, 96 - objects.keypoints[:, 1, 0])
        _, twice = transform_with_objects(RandomObjectFlip(1.0), flipped, moved, SWAPS)
        assert torch.equal(twice.keypoints, objects.keypoints)
        assert torch.equal(twice.boxes, objects.boxes)
        same, unmoved = transform_with_objects(RandomObjectFlip(0.0), image, objects, SWAPS)
        assert torch.equal(same, image)
        assert torch.equal(unmoved.boxes, objects.boxes)


def test_torchvisions_flip_is_refused_where_there_are_keypoints():
    """It would leave a left keypoint a left one."""
    image, objects = scenes(1)[0]
    with pytest.raises(UserError, match="RandomObjectFlip"):
        transform_with_objects(v2.Compose([v2.RandomHorizontalFlip()]), image, objects, SWAPS)


def test_resized_objects_are_scaled():
    """Boxes and keypoints by the factor, exactly; the area stays that of the file."""
    for image, objects in scenes(4):
        larger, moved = transform_with_objects(v2.Resize(192, antialias=True), image, objects, SWAPS)
        assert larger.shape[-2:] == (192, 192)
        torch.testing.assert_close(moved.boxes, objects.boxes * 2)
        torch.testing.assert_close(moved.keypoints[..., :2], objects.keypoints[..., :2] * 2)
        assert torch.equal(moved.areas, objects.areas)


def test_what_a_crop_cuts_off_is_cut_off_or_gone():
    """row 36: boxes end at the border, objects without a visible part go, keypoints outside are unknown."""
    cut = gone = 0
    for image, objects in scenes():
        cropped, moved = transform_with_objects(v2.CenterCrop(40), image, objects, SWAPS)
        assert cropped.shape[-2:] == (40, 40)
        assert len(moved) == len(moved.masks) == len(moved.keypoints) == len(moved.labels)
        assert (moved.boxes >= 0).all()
        assert (moved.boxes <= 40).all()
        assert ((moved.boxes[:, 2:] - moved.boxes[:, :2]) > 1).all()
        gone += len(objects) - len(moved)
        points = moved.keypoints
        outside = ((points[..., :2] < 0) | (points[..., :2] > 40)).any(-1)
        assert (points[..., 2][outside] == 0).all()
        cut += int((moved.boxes[:, 2:] == 40).any(1).sum())
    assert gone > 0
    assert cut > 0


def test_a_batch_gives_back_the_objects_it_was_made_of():
    """Images of different sizes, with and without objects: packed and unpacked."""
    parts = [
        transform_with_objects(v2.CenterCrop(size), *scenes(1)[0], SWAPS) for size in ((96, 96), (40, 40), (80, 64))
    ]
    empty = parts[1][1].select(torch.zeros(len(parts[1][1]), dtype=torch.bool))
    objects = [parts[0][1], empty, parts[2][1]]
    assert len(objects[2]) > 0
    batch = pack(objects, (96, 96))
    assert batch[MASK].shape == (len(batch[BOX]), 96, 96)
    for given, got in zip(objects, unpack(batch, [(96, 96), (40, 40), (80, 64)]), strict=True):
        for name, value in vars(given).items():
            assert torch.equal(getattr(got, name), value), name


def test_transforms_reach_the_batches_of_training_and_no_others():
    """With the same draw for image and objects, the same for any number of workers."""
    options = {"num_train": 12, "num_val": 4, "batch_size": 4, "masks": True, "keypoints": True, "shuffle_seed": 1}
    data = Scenes(train_transform=RandomObjectFlip(0.5), **options)
    plain = Scenes(**options)
    for each in (data, plain):
        each.setup("fit")
    flipped = 0
    for batch, other in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        first = batch[BOX].view(-1, 4)
        assert torch.equal(first, tight(batch[MASK]))
        flipped += int((batch[IMAGE] != other[IMAGE]).flatten(1).any(1).sum())
        assert batch[KEYPOINT].shape[1:] == (4, 3)
        assert batch[SIZE].tolist() == [[96, 96]] * 4
    assert 0 < flipped < 12
    for batch, other in zip(data.val_dataloader(), plain.val_dataloader(), strict=True):
        assert torch.equal(batch[IMAGE], other[IMAGE])
