"""Windows and views of an image are put together without a trace."""

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.segment import ConstantResolution, SlidingWindows, TestTimeAugmentation
from tests.tolerances import assert_close


def by_pixel(images: torch.Tensor) -> torch.Tensor:
    """Scores that depend on the pixel alone: windows change nothing."""
    return torch.cat([images.sum(1, keepdim=True), images[:, :1] ** 2, -images[:, 1:2]], dim=1)


@pytest.mark.parametrize("size", [(20, 30), (7, 30), (64, 9), (8, 8), (33, 41)])
@pytest.mark.parametrize("overlap", [0.0, 1 / 3, 0.75])
def test_windows_cover_every_pixel_of_any_image(size, overlap):
    """Of scores that depend on the pixel alone the average over windows is these scores."""
    images = torch.randn(2, 3, *size)
    asked = []

    def score(window: torch.Tensor) -> torch.Tensor:
        asked.append(window.shape[-2:])
        return by_pixel(window)

    assert_close(SlidingWindows((8, 12), overlap)(score, images), by_pixel(images))
    assert all((height <= 8 and width <= 12) or window == size for window in asked for height, width in [window])


def test_windows_average_what_they_say():
    """row 207: brute force: each window's scores, added and divided by how many windows hold a pixel."""
    torch.manual_seed(0)
    network = ConstantResolution(3, width=4, dilations=[1, 2]).eval()
    images = torch.randn(1, 3, 20, 26)
    with torch.no_grad():
        ours = SlidingWindows((10, 12), 0.5)(network, images)
        total, count = torch.zeros(1, 3, 20, 26), torch.zeros(20, 26)
        for top in (0, 5, 10):
            for left in (0, 6, 12, 14):
                total[..., top : top + 10, left : left + 12] += network(images[..., top : top + 10, left : left + 12])
                count[top : top + 10, left : left + 12] += 1
        assert_close(ours, total / count)
        assert not torch.allclose(ours, network(images), atol=1e-3)


def test_a_network_that_does_not_mind_mirrors_says_the_same_of_both():
    """row 137: symmetric filters; then flipping changes nothing, and views of one scale are one."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        network.weight.copy_((network.weight + network.weight.flip(-1)) / 2)
        images = torch.randn(2, 3, 12, 14)
        expected = network(images).softmax(1)
        assert_close(TestTimeAugmentation(flip=True)(network, images), expected)
        assert_close(TestTimeAugmentation(flip=False, scales=(1.0, 1.0))(network, images), expected)


def test_views_are_averaged_as_probabilities():
    """row 137: the mean of the probabilities of the image and of its mirror image turned back."""
    torch.manual_seed(1)
    network = nn.Conv2d(3, 4, 3, padding=1)
    images = torch.randn(2, 3, 12, 14)
    with torch.no_grad():
        both = network(images).softmax(1), network(images.flip(-1)).flip(-1).softmax(1)
        assert_close(TestTimeAugmentation()(network, images), (both[0] + both[1]) / 2)


def test_scales_bring_scores_back_to_the_size_of_the_image():
    """Of an image of one colour each scale says the same."""
    network = nn.Conv2d(3, 4, 1)
    images = torch.full((1, 3, 10, 14), 0.7)
    with torch.no_grad():
        found = TestTimeAugmentation(scales=(0.5, 1.0, 1.75))(network, images)
        assert_close(found, network(images).softmax(1))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SlidingWindows((0, 4)), "size_px"),
        (lambda: SlidingWindows((4, 4), 1.0), "overlap"),
        (lambda: TestTimeAugmentation(scales=()), "scales"),
        (lambda: TestTimeAugmentation(scales=(0.0,)), "scales"),
    ],
)
def test_a_wrong_option_is_named(make, named):
    with pytest.raises(UserError, match=named):
        make()
