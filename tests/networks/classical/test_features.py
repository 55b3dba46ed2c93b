"""The features that came before learned ones are what their papers say."""

import pytest
import torch

from lightning_cv.contracts import IMAGE, LABEL
from lightning_cv.errors import UserError
from lightning_cv.networks.classical import BagOfVisualWords, ColorHistogram, Hog, LearnedFeatures, LinearOnFeatures
from lightning_cv.networks.classify import SmallResNet
from tests.tolerances import assert_close


def batches_of(images: torch.Tensor, labels: torch.Tensor | None = None):
    """The images as a data module shows them, in two batches."""
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    half = len(images) // 2
    parts = [slice(0, half), slice(half, None)]
    return lambda: [{IMAGE: images[part], LABEL: labels[part]} for part in parts]


def shuffled_pixels(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(2)[:, :, torch.randperm(images[0, 0].numel())].view_as(images)


def test_a_histogram_counts_colours_wherever_they_are():
    """row 13: equal to torch.histc channel by channel, sums to 1, and a permutation of the pixels changes nothing."""
    images = torch.randn(6, 3, 8, 8)
    histogram = ColorHistogram(3, bins=5)
    histogram.fit_images(batches_of(images))
    found = histogram(images)
    low, high = images.amin(dim=(0, 2, 3)), images.amax(dim=(0, 2, 3))
    counted = [
        torch.histc(image[c], bins=5, min=float(low[c]), max=float(high[c])) for image in images for c in range(3)
    ]
    assert_close(found, torch.cat(counted).view(6, 15) / (3 * 64))
    assert_close(found.sum(1), torch.ones(6))
    assert torch.equal(histogram(shuffled_pixels(images)), found)


def test_colours_outside_the_range_count_to_the_outer_bins():
    """Another image may be darker or brighter than all that were seen; a channel of one value has one full bin."""
    histogram = ColorHistogram(1, bins=4)
    histogram.fit_images(batches_of(torch.linspace(0, 1, 32).view(2, 1, 4, 4)))
    assert histogram(torch.full((1, 1, 2, 2), -9.0)).tolist() == [[1, 0, 0, 0]]
    assert histogram(torch.full((1, 1, 2, 2), 9.0)).tolist() == [[0, 0, 0, 1]]
    flat = ColorHistogram(1, bins=4)
    flat.fit_images(batches_of(torch.ones(2, 1, 4, 4)))
    assert flat(torch.ones(1, 1, 2, 2)).sum() == 1


def test_the_pedestrian_window_has_3780_gradient_features():
    """row 14: 64 x 128 pixels, 8 x 8 cells, 2 x 2 blocks, 9 bins; a constant offset of the image changes nothing."""
    image = torch.rand(1, 1, 128, 64)
    hog = Hog((1, 128, 64), cell_px=8, block=2, directions=9)
    found = hog(image)
    assert found.shape == (1, 3780) == (1, hog.num_features)
    torch.testing.assert_close(hog(image + 0.3), found, atol=1e-5, rtol=0)
    assert not torch.allclose(hog(shuffled_pixels(image)), found, atol=1e-2)


def test_gradients_of_an_edge_point_across_it():
    """row 14: left-to-right steps give gradients of 0 degrees, so all weight lies in the first of 9 bins."""
    image = (torch.arange(16) >= 8).float().expand(1, 1, 16, 16)
    cells = Hog((1, 16, 16), cell_px=8, block=2)(image).view(4, 9)
    assert (cells.argmax(dim=1) == 0).all()
    assert_close(cells[:, 1:], torch.zeros(4, 8))


def words_of(images: torch.Tensor, **options) -> BagOfVisualWords:
    bag = BagOfVisualWords(images.shape[1], **options)
    bag.fit_images(batches_of(images))
    return bag


def test_a_bag_of_words_forgets_where_the_patches_stand():
    """row 15: K shares that sum to 1; exchanging patches, and a brighter image, change nothing."""
    images = torch.rand(8, 1, 8, 8)
    bag = words_of(images, num_words=6, patch_px=4, stride_px=4)
    found = bag(images)
    assert found.shape == (8, 6)
    assert_close(found.sum(1), torch.ones(8))
    left, right = images.split(4, dim=3)
    assert_close(bag(torch.cat([right, left], dim=3)), found)
    assert_close(bag(images + 0.25), found)


def test_the_words_are_those_that_the_patches_were_made_of():
    """row 15: of images made of three patterns the codebook is these, and an image counts its patterns."""
    torch.manual_seed(1)
    patterns = torch.randn(3, 1, 4, 4)
    patterns -= patterns.mean(dim=(1, 2, 3), keepdim=True)
    chosen = torch.randint(3, (40, 4))
    rows = [torch.cat([patterns[c] for c in line], dim=2) for line in chosen]
    images = torch.stack(rows)
    bag = words_of(images, num_words=3, patch_px=4, stride_px=4, num_patches=400)
    nearest = torch.cdist(patterns.flatten(1), bag.words)
    assert nearest.min(dim=1).values.max() < 1e-4
    order = nearest.argmin(dim=1)
    counts = torch.nn.functional.one_hot(chosen, 3).float().mean(dim=1)
    assert_close(bag(images)[:, order], counts)


def test_learned_features_are_what_the_head_scores():
    """The head of the network, applied to them, gives the network's scores."""
    network = SmallResNet(in_channels=1, widths=[8], blocks_per_stage=1)
    features = LearnedFeatures(network).eval()
    images = torch.randn(3, 1, 8, 8)
    found = features(images)
    assert found.shape == (3, features.num_features)
    assert_close(network.head(found), network.eval()(images))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColorHistogram(bins=1), "ColorHistogram: bins is 1; allowed: 2 or more"),
        (lambda: Hog((1, 6, 8), cell_px=4), "allowed: height and width of a block, 8 pixels, or more"),
        (lambda: Hog(cell_px=0), "Hog: cell_px is 0; allowed: 1 or more"),
        (lambda: BagOfVisualWords(num_words=1), "BagOfVisualWords: num_words is 1; allowed: 2 or more"),
        (lambda: BagOfVisualWords()(torch.rand(1, 1, 8, 8)), "BagOfVisualWords has not seen the training images yet"),
        (lambda: words_of(torch.rand(2, 1, 4, 4), num_words=5, num_patches=1), "num_words is 5; there are 2 patches"),
        (lambda: LinearOnFeatures(features=torch.nn.Flatten()), "features: Flatten has no num_features"),
        (lambda: LearnedFeatures(weights="nowhere.ckpt"), "weights is nowhere.ckpt, which does not exist"),
        (lambda: LearnedFeatures(weights="."), "there is no best-"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(make, message):
    """Each names the part, the option, what was given and what is allowed."""
    with pytest.raises(UserError) as told:
        make()
    assert message in str(told.value)
    assert "\n" not in str(told.value)
