"""The classes of pixels move with their image, and what a transform adds is ignored."""

import pytest
import torch
from torchvision.transforms import v2

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Pixels
from lightning_cv.data.palette import palette
from lightning_cv.data.pixels import transform_with_pixels
from lightning_cv.errors import UserError


def scene(size: tuple[int, int] = (24, 30)) -> tuple[torch.Tensor, Pixels]:
    """An image whose red is 10 times the class plus 20, green the number of the segment: to be read back."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(4, (size[0] // 6, size[1] // 6), generator=generator)
    classes = classes.repeat_interleave(6, 0).repeat_interleave(6, 1).to(torch.int16)
    segments = torch.arange(classes.numel()).view(size[0], size[1]).int() // (6 * size[1]) + 4 * classes.int()
    image = torch.stack([classes * 10 + 20, segments.short() * 3 + 20, torch.full(size, 200).short()]).to(torch.uint8)
    return image, Pixels(classes, segments)


EXACT = {
    "flip": v2.RandomHorizontalFlip(1.0),
    "crop": v2.RandomCrop(12),
    "padded crop": v2.RandomCrop(40, pad_if_needed=True),
    "resize": v2.Resize((48, 60), interpolation=v2.InterpolationMode.NEAREST),
    "several": v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Pad(3), v2.CenterCrop(20)]),
    "turn": v2.RandomRotation((90, 90), expand=True),
}


@pytest.mark.parametrize("transform", EXACT.values(), ids=EXACT)
def test_classes_and_segments_lie_where_their_pixels_lie(transform):
    """Colours name the class and the segment of each pixel; black ones were added, and nobody knows them."""
    image, pixels = scene()
    torch.manual_seed(4)
    moved, after = transform_with_pixels(transform, image, pixels)
    assert after.classes.dtype == torch.int16
    assert after.segments.dtype == torch.int32
    added = moved[2] == 0
    assert ((after.classes == IGNORED) == added).all()
    assert ((after.segments == VOID) == added).all()
    assert (after.classes * 10 + 20)[~added].tolist() == moved[0][~added].tolist()
    assert (after.segments * 3 + 20)[~added].tolist() == moved[1][~added].tolist()


def test_a_turned_image_gains_corners_that_nobody_knows():
    image, pixels = scene()
    torch.manual_seed(0)
    _, after = transform_with_pixels(v2.RandomRotation((45, 45)), image, pixels)
    assert after.classes[0, 0] == IGNORED
    assert after.classes[12, 15] != IGNORED


def test_what_is_ignored_and_crowds_stay_so():
    image, pixels = scene()
    pixels.classes[:, :5], pixels.segments[:, :5] = IGNORED, VOID
    pixels.segments[:, 20:] = CROWD_SEGMENT
    _, after = transform_with_pixels(v2.RandomHorizontalFlip(1.0), image, pixels)
    assert torch.equal(after.classes, pixels.classes.flip(-1))
    assert torch.equal(after.segments, pixels.segments.flip(-1))


def test_colour_changes_leave_classes_alone():
    image, pixels = scene()
    torch.manual_seed(0)
    moved, after = transform_with_pixels(v2.ColorJitter(0.5, 0.5), image, Pixels(pixels.classes))
    assert not torch.equal(moved, image)
    assert torch.equal(after.classes, pixels.classes)
    assert after.segments is None


def test_a_resized_image_has_no_class_between_two():
    """Nearest pixels, never means of class indices: 0 and 3 give no 1 or 2."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    classes = torch.zeros(8, 8, dtype=torch.int16)
    classes[::2] = 3
    _, after = transform_with_pixels(v2.Resize((37, 29)), image, Pixels(classes))
    assert after.classes.unique().tolist() == [0, 3]


@pytest.mark.parametrize(
    "transform", [v2.Pad(2, fill=128), v2.Compose([v2.RandomCrop(40, pad_if_needed=True, fill=1)])]
)
def test_a_fill_that_would_be_a_class_is_refused(transform):
    image, pixels = scene()
    with pytest.raises(UserError, match=r"fills masks with .* allowed: fill: 0"):
        transform_with_pixels(transform, image, pixels)


def test_colours_of_classes_are_those_of_voc_and_differ():
    """The published colours of its 21 classes, the first and last."""
    colors = palette(300)
    assert colors[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert colors[20] == (0, 64, 128)
    assert len(set(colors)) == 300
