"""MixUp and CutMix blend images and labels alike, with draws that repeat."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torchvision.transforms import v2

from lightning_cv.data.augmentation import BatchAugmentation, check_batch_transforms
from lightning_cv.data.batch_transforms import RandomHorizontalFlip
from lightning_cv.data.mixing import mix, tell_num_classes
from lightning_cv.data.normalization import MeanStd, Normalizer
from lightning_cv.errors import UserError
from tests.tolerances import assert_close


def one_hot_images(size_px=8):
    """Image n is 1 in channel n and 0 elsewhere, so that channel means tell the share of each sample."""
    return torch.eye(5)[:, :, None, None].expand(5, 5, size_px, size_px).contiguous()


@pytest.mark.parametrize("transform", [v2.MixUp(alpha=1.0, num_classes=5), v2.CutMix(alpha=1.0, num_classes=5)])
@pytest.mark.parametrize("key", range(5))
def test_target_rows_sum_to_one_and_equal_the_pixel_fraction(transform, key):
    """Row 42."""
    images, labels = mix(transform, one_hot_images(), torch.arange(5), key=key)
    assert_close(labels.sum(1), torch.ones(5))
    assert_close(labels, images.mean((2, 3)))


def test_the_weight_follows_beta():
    """Row 42: Beta(.2, .2): P(lam < .1 or > .9) = 0.67, scipy's cdf, and Kolmogorov-Smirnov."""
    transform = v2.MixUp(alpha=0.2, num_classes=5)
    labels = torch.arange(5)
    lam = torch.stack([mix(transform, one_hot_images(1), labels, key=key)[1][0, 0] for key in range(2000)])
    beta = stats.beta(0.2, 0.2)
    expected = beta.cdf(0.1) + beta.sf(0.9)
    assert round(float(expected), 2) == 0.67
    outside = ((lam < 0.1) | (lam > 0.9)).sum()
    assert stats.binomtest(int(outside), 2000, expected).pvalue > 0.001
    assert stats.kstest(lam.numpy(), beta.cdf).pvalue > 0.001


def test_soft_cross_entropy_is_the_blend_of_both():
    """Row 42: CE(soft) = lam CE_a + (1 - lam) CE_b."""
    classes = torch.arange(5)
    _, soft = mix(v2.MixUp(alpha=1.0, num_classes=5), one_hot_images(), classes, key=3)
    scores = torch.randn(5, 5)
    lam = soft[0, 0]
    expected = lam * F.cross_entropy(scores, classes) + (1 - lam) * F.cross_entropy(scores, classes.roll(1))
    assert_close(F.cross_entropy(scores, soft), expected)


def test_multilabel_targets_are_blended_too():
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 1]])
    images = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    mixed, soft = mix(v2.MixUp(alpha=1.0), images, labels, key=0)
    lam = 1 - mixed[0, 0, 0, 0]
    assert_close(soft[0], lam * labels[0] + (1 - lam) * labels[1])


def test_draws_repeat_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    transform = v2.RandomChoice([v2.MixUp(num_classes=5), v2.CutMix(num_classes=5)])
    first, again, other = (mix(transform, one_hot_images(), torch.arange(5), key=key)[0] for key in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_stage_of_the_pipeline_runs_on_what_it_wants():
    """Flips run on uint8, MixUp on the normalized images; the draws change with the epoch."""
    seen = []

    class Spy(RandomHorizontalFlip):
        def forward(self, images, keys):
            seen.append(images.dtype)
            return super().forward(images, keys)

    normalizer = Normalizer(MeanStd([0.5] * 5, [0.25] * 5))
    transforms = [Spy(), v2.MixUp(num_classes=5), Spy()]
    augment = BatchAugmentation(transforms, normalizer, seed=0, num_samples=5)
    images = (one_hot_images() * 255).to(torch.uint8)
    batch = {"image": images, "label": torch.arange(5), "index": torch.arange(5)}
    first = augment(batch, epoch=0, first_index=0)
    assert seen == [torch.uint8, torch.float32]
    # Channel means of (x - .5) / .25 give back the shares.
    assert_close(first["image"].mean((2, 3)) * 0.25 + 0.5, first["label"])
    assert torch.equal(augment(batch, epoch=0, first_index=0)["image"], first["image"])
    assert not torch.equal(augment(batch, epoch=1, first_index=0)["label"], first["label"])


def test_transforms_of_one_list_draw_independently():
    """Row 35: two flips in a row leave half of the images flipped; with the same draws they would leave none."""
    normalizer = Normalizer(MeanStd([0.0], [1.0]))
    augment = BatchAugmentation([RandomHorizontalFlip(), RandomHorizontalFlip()], normalizer, seed=0, num_samples=400)
    images = torch.tensor([0, 255], dtype=torch.uint8).expand(400, 1, 1, 2).contiguous()
    batch = {"image": images, "label": torch.zeros(400), "index": torch.arange(400)}
    flipped = augment(batch, epoch=0, first_index=0)["image"][:, 0, 0, 0]
    assert stats.binomtest(int(flipped.sum()), 400, 0.5).pvalue > 0.001


@pytest.mark.parametrize("transform", [v2.RandomHorizontalFlip(), v2.RandomChoice([v2.MixUp(), v2.RandomErasing()])])
def test_a_transform_with_one_draw_a_batch_is_refused(transform):
    with pytest.raises(UserError, match=r"data\.init_args\.batch_transforms: Random.* train_transform"):
        check_batch_transforms([transform])


def test_the_number_of_classes_is_told_or_checked():
    transform = v2.RandomChoice([v2.MixUp(), v2.CutMix(num_classes=7)])
    with pytest.raises(UserError, match="CutMix has num_classes 7, allowed: 5"):
        tell_num_classes(transform, 5)
    tell_num_classes(transform, 7)
    assert transform.transforms[0].num_classes == 7
