"""Losses of pixels, against torch, closed forms, brute force and segmentation-models-pytorch."""

import math

import pytest
import torch
from segmentation_models_pytorch import losses as library
from torch.nn import functional as F

from lightning_cv.contracts import IGNORED
from lightning_cv.errors import UserError
from lightning_cv.losses import Dice, Focal, Lovasz, PixelCrossEntropy
from tests.tolerances import assert_close

LOSSES = {
    "cross_entropy": PixelCrossEntropy(),
    "weighted": PixelCrossEntropy([1.0, 2.0, 0.5]),
    "smoothed": PixelCrossEntropy(label_smoothing=0.1),
    "hardest": PixelCrossEntropy(hardest=0.3),
    "focal": Focal(),
    "dice": Dice(),
    "squared": Dice(squared=True, smooth=1.0),
    "lovasz": Lovasz(),
    "per_image": Lovasz(per_image=True),
}


@pytest.fixture
def pixels():
    """Scores (2, 3, 5, 6) and classes, a fifth of them ignored."""
    generator = torch.Generator().manual_seed(3)
    classes = torch.randint(3, (2, 5, 6), generator=generator)
    classes[torch.rand(2, 5, 6, generator=generator) < 0.2] = IGNORED
    return torch.randn(2, 3, 5, 6, generator=generator, dtype=torch.float64), classes


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_ignored_pixels_have_no_part_in_it(loss, pixels):
    """Other scores at ignored pixels change neither value nor gradient; and where all are ignored, both are 0."""
    scores, classes = pixels
    other = torch.where((classes == IGNORED)[:, None], scores + 50 * torch.rand_like(scores), scores)
    found = []
    for each in (scores, other):
        given = each.clone().requires_grad_()
        value = loss(given, classes)
        value.backward()
        assert (given.grad.movedim(1, -1)[classes == IGNORED] == 0).all()
        found += [value.detach(), given.grad]
    assert_close(found[0], found[2])
    assert_close(found[1], found[3])
    assert found[1].abs().sum() > 0
    nothing = scores.clone().requires_grad_()
    value = loss(nothing, torch.full_like(classes, IGNORED))
    value.backward()
    assert value == 0
    assert (nothing.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_it_falls_to_its_least_where_every_pixel_is_right(loss, pixels):
    _, classes = pixels
    sure = 40.0 * F.one_hot(classes.clamp(min=0), 3).movedim(-1, 1).double()
    assert loss(0.1 * sure, classes) < loss(torch.zeros_like(sure), classes) < loss(-sure, classes)
    if loss is not LOSSES["smoothed"]:  # which never wants to be sure
        assert 0 <= loss(sure, classes) < 1e-6


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_cross_entropy_is_torchs(weights, pixels):
    """Row 6: with class weights a weighted mean; equal scores of C classes cost ln C."""
    scores, classes = pixels
    given = None if weights is None else torch.tensor(weights)
    assert_close(PixelCrossEntropy(weights)(scores, classes), F.cross_entropy(scores.float(), classes, weight=given))
    equal = PixelCrossEntropy(weights)(torch.zeros(2, 3, 5, 6), classes)
    assert equal.item() == pytest.approx(math.log(3), rel=1e-6)


def test_the_hardest_pixels_are_those_of_largest_loss(pixels):
    scores, classes = pixels
    each = F.cross_entropy(scores.float(), classes, reduction="none", ignore_index=IGNORED)[classes != IGNORED]
    count = round(0.3 * len(each))
    assert_close(PixelCrossEntropy(hardest=0.3)(scores, classes), each.sort(descending=True).values[:count].mean())


def test_focal_is_its_formula_and_without_gamma_cross_entropy(pixels):
    """-(1 - p)^gamma log p at the true class, brute force pixel by pixel."""
    scores, classes = pixels
    p = scores.softmax(1)
    values = [
        -((1 - p[b, c, y, x]) ** 1.5) * p[b, c, y, x].log() * (1.0, 2.0, 0.5)[c]
        for b, y, x in (classes != IGNORED).nonzero().tolist()
        for c in [int(classes[b, y, x])]
    ]
    assert_close(Focal(1.5, [1.0, 2.0, 0.5])(scores, classes), torch.stack(values).mean().float())
    assert_close(Focal(0.0)(scores, classes), PixelCrossEntropy()(scores, classes))


def test_dice_is_that_of_the_library_and_of_sets(pixels):
    """segmentation-models-pytorch on the pixels that are known; for hard predictions 1 - 2 |A ∩ B| / (|A| + |B|)."""
    scores, classes = pixels
    theirs = library.DiceLoss("multiclass", ignore_index=IGNORED, eps=0.0)
    assert_close(Dice()(scores, classes), theirs(scores.float(), classes))
    hard = 60.0 * F.one_hot(scores.argmax(1), 3).movedim(-1, 1)
    known, found = classes != IGNORED, scores.argmax(1)
    shares = []
    for label in range(3):
        a, b = (found == label) & known, classes == label
        shares.append(1 - 2 * (a & b).sum() / (a.sum() + b.sum()))
    assert_close(Dice()(hard, classes), torch.stack(shares).mean())


def test_a_class_that_is_absent_is_left_out_of_dice():
    """Of 2 of 3 classes: with equal scores 1 - 2 (n/3) / (N/3 + n) for each, brute force."""
    classes = torch.tensor([[[0, 0, 0, 1]]])
    expected = sum(1 - 2 * (n / 3) / (4 / 3 + n) for n in (3, 1)) / 2
    assert Dice()(torch.zeros(1, 3, 1, 4), classes).item() == pytest.approx(expected)


def test_lovasz_is_that_of_the_library(pixels):
    scores, classes = pixels
    assert_close(
        Lovasz()(scores, classes), library.LovaszLoss("multiclass", ignore_index=IGNORED)(scores.float(), classes)
    )
    theirs = library.LovaszLoss("multiclass", per_image=True, ignore_index=IGNORED)
    assert_close(Lovasz(per_image=True)(scores, classes), theirs(scores.float(), classes))


def test_lovasz_of_hard_predictions_is_one_minus_the_intersection_over_union(pixels):
    """What it extends (Berman et al. 2018, section 2)."""
    scores, classes = pixels
    hard = 200.0 * F.one_hot(scores.argmax(1), 3).movedim(-1, 1)
    found, known = scores.argmax(1), classes != IGNORED
    values = []
    for label in range(3):
        a, b = (found == label) & known, classes == label
        values.append(1 - (a & b).sum() / (a | b).sum())
    assert_close(Lovasz()(hard, classes), torch.stack(values).mean())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: PixelCrossEntropy([1.0, -1.0]), "class_weights"),
        (lambda: PixelCrossEntropy([0.0, 0.0]), "class_weights"),
        (lambda: PixelCrossEntropy(hardest=0.0), "hardest"),
        (lambda: PixelCrossEntropy(label_smoothing=1.0), "label_smoothing"),
        (lambda: Focal(-1.0), "gamma"),
        (lambda: Dice(smooth=-1.0), "smooth"),
        (lambda: PixelCrossEntropy([1.0])(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long()), "class_weights: 1"),
    ],
)
def test_a_wrong_option_is_named(make, named):
    with pytest.raises(UserError, match=named):
        make()
