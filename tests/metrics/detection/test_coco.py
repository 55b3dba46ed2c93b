"""The scores are those of pycocotools, and of closed forms."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from lightning_cv.metrics.detection import (
    COCO_SIGMAS,
    BoxIoU,
    CocoEvaluation,
    Found,
    KeypointSimilarity,
    MaskIoU,
    Truth,
)
from tests.metrics.detection.cases import as_keypoints, as_masks, pycocotools, random_case


def assert_same(scores, expected):
    assert expected
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


@pytest.mark.parametrize("coarse", [False, True], ids=["free", "draws"])
@pytest.mark.parametrize("seed", range(12))
def test_boxes_score_as_pycocotools_says(seed, coarse):
    """rows 204, 205: random sets with crowds, all sizes, a class without objects, images without either; to 1e-6."""
    found, truth = random_case(seed, coarse=coarse)
    scores = CocoEvaluation("box", BoxIoU(), 4)(found, truth)
    assert_same(scores, pycocotools(found, truth, "box", 4))
    assert np.isnan(scores["ap"][3]), "a class without objects has no precision"
    assert scores["map"] == pytest.approx(np.nanmean(scores["ap"]), abs=1e-12)


def test_more_than_a_hundred_detections_of_an_image_are_cut_as_pycocotools_cuts_them():
    """row 205: only the best 100 of an image and class count."""
    found, truth = random_case(3, num_images=2, num_classes=2, most=200)
    assert np.bincount(found.image * 2 + found.label).max() > 150
    assert_same(CocoEvaluation("box", BoxIoU(), 2)(found, truth), pycocotools(found, truth, "box", 2))


@pytest.mark.parametrize("seed", range(3))
def test_masks_score_as_pycocotools_says(seed):
    """row 205: intersection over union of masks."""
    found, truth = as_masks(*random_case(seed))
    assert_same(CocoEvaluation("mask", MaskIoU(), 4)(found, truth), pycocotools(found, truth, "mask", 4))


@pytest.mark.parametrize("seed", range(6))
def test_keypoints_score_as_pycocotools_says(seed):
    """row 225: object keypoint similarity, with objects without marked keypoints, and crowds."""
    found, truth = as_keypoints(*random_case(seed), seed=seed)
    scores = CocoEvaluation("keypoint", KeypointSimilarity(COCO_SIGMAS), 1)(found, truth)
    assert_same(scores, pycocotools(found, truth, "keypoint", 1))


def test_keypoint_similarity_is_1_without_error_and_falls_with_the_distance():
    """row 225: at distance s k sqrt(2 ln 2) of every keypoint it is 1/2, by its definition."""
    sigmas = (0.05, 0.1, 0.08)
    points = np.array([[[10.0, 10, 2], [20, 30, 2], [40, 10, 1]]])
    corners = np.array([[[0.0, 0, 0], [50, 50, 0]]])
    one = np.array([0])
    truth = Truth(one, one, np.array([900.0]), one > 0, one > 0, np.concatenate([points, corners], 1))
    values = []
    for factor in (0.0, 0.5, 1.0, 2.0):
        moved = points.copy()
        moved[0, :, 0] += factor * 30 * 2 * np.array(sigmas) * np.sqrt(2 * np.log(2))
        found = Found(one, one, np.array([1.0]), np.array([900.0]), moved)
        values.append(KeypointSimilarity(sigmas)(found, truth, one, one[None])[0, 0])
    assert values == pytest.approx([1.0, 2**-0.25, 0.5, 2**-4], abs=1e-12)


def three_detections():
    """A right one, a wrong one, a right one, of three objects."""
    boxes = np.array([[0.0, 0, 10, 10], [50, 50, 10, 10], [100, 0, 10, 10], [200, 0, 10, 10]])
    image = np.zeros(3, dtype=np.int64)
    found = Found(image, image, np.array([0.9, 0.8, 0.7]), np.full(3, 100.0), boxes[[0, 1, 2]])
    truth = Truth(image, image, np.full(3, 100.0), image > 0, image > 0, boxes[[0, 2, 3]])
    return found, truth


def test_exact_average_precision_and_that_of_101_points_are_both_told():
    """row 203: right, wrong, right of three objects: 5/9 exactly, 0.5545 at COCO's 101 recalls."""
    scores = CocoEvaluation("box", BoxIoU(), 1)(*three_detections())
    assert scores["map_50_exact"] == pytest.approx(5 / 9, abs=1e-12)
    assert scores["map_50"] == pytest.approx(0.5545, abs=5e-5)


@pytest.mark.parametrize("seed", range(5))
def test_exact_average_precision_is_scikit_learns_where_everything_is_found(seed):
    """row 203: with one detection right on each object among wrong ones, the area that scikit-learn gives."""
    rng = np.random.default_rng(seed)
    right = rng.random(40) < 0.5
    boxes = np.stack([np.arange(40) * 20.0, np.zeros(40), np.full(40, 10.0), np.full(40, 10.0)], 1)
    image, score = np.zeros(40, dtype=np.int64), rng.random(40)
    found = Found(image, image, score, np.full(40, 100.0), boxes)
    few = image[right]
    truth = Truth(few, few, np.full(len(few), 100.0), few > 0, few > 0, boxes[right])
    scores = CocoEvaluation("box", BoxIoU(), 1)(found, truth)
    assert scores["map_50_exact"] == pytest.approx(average_precision_score(right, score), abs=1e-12)


def test_intersection_over_union_of_two_squares_of_four_pixels_is_a_seventh():
    """row 201: shifted by one pixel in both directions they share 1 of 7 pixels; with a crowd, 1 of the own 4."""
    one, box = np.array([0]), np.array([[0.0, 0, 2, 2]])
    found = Found(one, one, np.array([1.0]), np.array([4.0]), box)
    for crowd, expected in ((False, 1 / 7), (True, 1 / 4)):
        truth = Truth(one, one, np.array([4.0]), np.array([crowd]), np.array([crowd]), box + np.array([1, 1, 0, 0]))
        assert BoxIoU()(found, truth, one, one[None])[0, 0] == pytest.approx(expected, abs=1e-12)


def test_nothing_found_and_nothing_to_find():
    """row 204: no detection is precision 0; no object at all is no precision."""
    found, truth = three_detections()
    nothing = np.zeros(0, dtype=np.int64)
    evaluate = CocoEvaluation("box", BoxIoU(), 1)
    assert evaluate(found.select(nothing), truth)["map"] == 0.0
    assert np.isnan(evaluate(found, truth.select(nothing))["map"])
