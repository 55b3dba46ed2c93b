"""Scores of a whole set of segmented images, against torchmetrics and brute force."""

import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from lightning_cv.contracts import IGNORED
from lightning_cv.errors import UserError
from lightning_cv.metrics.segmentation import SegmentationScores, boundary_of, compare_boundaries
from tests.tolerances import assert_close

NAMES = ("a", "b", "c")


def images(number: int, seed: int = 0, size: tuple[int, int] = (9, 11), ignored: float = 0.2):
    """Blocks of 2 x 2 pixels, a tenth of which are found as another class."""
    generator = torch.Generator().manual_seed(seed)
    there, found = [], []
    for _ in range(number):
        blocks = torch.randint(3, ((size[0] + 1) // 2, (size[1] + 1) // 2), generator=generator)
        classes = blocks.repeat_interleave(2, 0).repeat_interleave(2, 1)[: size[0], : size[1]].clone()
        wrong = torch.rand(size, generator=generator) < 0.1
        found.append(torch.where(wrong, torch.randint(3, size, generator=generator), classes))
        classes[torch.rand(size, generator=generator) < ignored] = IGNORED
        there.append(classes)
    return found, there


def scores(found, there, **options):
    metric = SegmentationScores(NAMES, **options)
    metric.update(found, there)
    return metric.compute()


def test_it_is_counted_over_the_set_and_is_no_mean_of_batches():
    """row 206: torchmetrics over all pixels at once; the mean over images is another number."""
    found, there = images(6)
    found[0], there[0] = torch.zeros_like(found[0]), torch.ones_like(there[0])  # one image wholly wrong
    ours = scores(found, there)
    flat = torch.cat([f.flatten() for f in found]), torch.cat([t.flatten() for t in there])
    theirs = MulticlassJaccardIndex(3, ignore_index=IGNORED)
    assert_close(ours["mean_iou"], theirs(*flat))
    each = MulticlassJaccardIndex(3, average="none", ignore_index=IGNORED)(*flat)
    assert_close(torch.stack([ours[f"iou/{name}"] for name in NAMES]), each)
    micro = MulticlassAccuracy(3, average="micro", ignore_index=IGNORED)
    assert_close(ours["pixel_accuracy"], micro(*flat))
    assert_close(ours["mean_accuracy"], MulticlassAccuracy(3, average="macro", ignore_index=IGNORED)(*flat))
    alone = torch.stack([scores([f], [t])["mean_iou"] for f, t in zip(found, there, strict=True)]).mean()
    assert abs(alone - ours["mean_iou"]) > 0.01


def test_batches_of_any_size_give_the_same():
    found, there = images(7)
    together = scores(found, there)
    metric = SegmentationScores(NAMES)
    for first, end in ((0, 1), (1, 5), (5, 7)):
        metric.update(found[first:end], there[first:end])
    assert metric.compute() == together


def test_a_class_that_nobody_says_is_left_out():
    """Two of three classes: the mean is over these."""
    there, found = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 1]])
    told = scores([found], [there], boundary=None)
    assert set(told) == {"mean_iou", "pixel_accuracy", "mean_accuracy", "iou/a", "iou/b"}
    assert told["mean_iou"].item() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert told["mean_accuracy"].item() == pytest.approx((1 / 2 + 1) / 2)


def test_without_a_known_pixel_nothing_is_told_but_that():
    unknown = torch.full((4, 4), IGNORED)
    assert scores([torch.zeros(4, 4, dtype=torch.int64)], [unknown]) == {"mean_iou": 0}


def test_the_truth_finds_itself():
    _, there = images(3, ignored=0.0)
    assert all(value == 1 for value in scores(there, there).values())


def near(first: torch.Tensor, second: torch.Tensor, radius: int) -> int:
    """Pixels of the first with one of the second at most this far away, pair by pair."""
    others = second.nonzero().tolist()
    return sum(any(math.dist(p, q) <= radius for q in others) for p in first.nonzero().tolist())


def edge(classes: torch.Tensor, known: torch.Tensor, label: int) -> torch.Tensor:
    """Pixels of a class with a known pixel of another at one of their sides, pixel by pixel."""
    height, width = classes.shape
    marked = torch.zeros_like(known)
    for y, x in ((classes == label) & known).nonzero().tolist():
        sides = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        marked[y, x] = any(
            0 <= v < height and 0 <= u < width and known[v, u] and classes[v, u] != label for v, u in sides
        )
    return marked


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_boundaries_are_compared_as_pixel_by_pixel(radius):
    found, there = images(4, seed=radius)
    for one, other in zip(found, there, strict=True):
        known = other != IGNORED
        counts = compare_boundaries(one, other, 3, radius=radius)
        for label in range(3):
            a, b = edge(one, known, label), edge(other, known, label)
            expected = [a.sum(), near(a, b, radius), b.sum(), near(b, a, radius)]
            assert counts[label].tolist() == [int(value) for value in expected]


def test_boundary_f1_is_the_harmonic_mean_over_the_set():
    """A square moved by two pixels: with a distance of one pixel some of its boundary is near, with five all of it."""
    there = torch.zeros(40, 40, dtype=torch.int64)
    found = there.clone()
    there[10:20, 10:20] = 1
    found[12:22, 10:20] = 1
    diagonal = math.hypot(40, 40)
    near_one = scores([found], [there], boundary=1 / diagonal)["boundary_f1"]
    counts = compare_boundaries(found, there, 3, radius=1).double()
    expected = []
    for a, right, b, recalled in counts[:2].tolist():
        precision, recall = right / a, recalled / b
        expected.append(2 * precision * recall / (precision + recall))
    assert near_one.item() == pytest.approx(sum(expected) / 2)
    assert 0.3 < near_one < 0.9
    assert scores([found], [there], boundary=5 / diagonal)["boundary_f1"] == 1


def test_the_border_of_the_image_and_of_what_nobody_knows_is_no_boundary():
    classes = torch.ones(6, 6, dtype=torch.int64)
    known = torch.ones(6, 6, dtype=torch.bool)
    known[:, :2] = False
    assert not boundary_of((classes == 1)[None] & known, known).any()
    classes[:, 4:] = 0
    assert boundary_of((classes == 1)[None] & known, known)[0].nonzero()[:, 1].unique().tolist() == [3]


@pytest.mark.parametrize("boundary", [0.0, 1.0, -1.0])
def test_a_wrong_distance_is_refused(boundary):
    with pytest.raises(UserError, match="boundary"):
        SegmentationScores(NAMES, boundary=boundary)
