"""Which detection finds which object, at every threshold and for every range of areas at once?

The greedy rule of the COCO evaluation (pycocotools `COCOeval.evaluateImg`): in each image and class, detections are
taken by falling score, and each gets the most similar object that is still free; one that counts goes before one that
is ignored. It is run for all images, classes, thresholds and ranges together: first the best detections of all
images and classes, then the second ones, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_cv.metrics.detection.records import Booleans, Floats, Found, Integers, Truth
from lightning_cv.metrics.detection.similarity import Similarity

Ranges = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Matches:
    """The outcome for D detections, with A ranges and T thresholds.

    Args:
        found: the detections, best first within an image and class.
        rank: (D,) place of each among those of its image and class, from 0.
        hit: (A, T, D) whether it has an object.
        ignored: (A, T, D) whether it counts neither as right nor as wrong.
        num_objects: (A, classes) objects to be found.
    """

    found: Found
    rank: Integers
    hit: Booleans
    ignored: Booleans
    num_objects: Integers


def match(
    found: Found,
    truth: Truth,
    similarity: Similarity,
    *,
    thresholds: Floats,
    ranges: Ranges,
    max_detections: int,
    num_classes: int,
) -> Matches:
    """Match the best detections of each image and class with its objects.

    Args:
        found: D detections.
        truth: G objects.
        similarity: how alike two are.
        thresholds: (T,) a match is at least so alike.
        ranges: A pairs, smallest and largest area; objects outside are ignored, and detections outside unless matched.
        max_detections: of an image and class.
        num_classes: labels are below it.
    """
    found, keys, rank = _best(found, num_classes, max_detections)
    limits = np.asarray(ranges, dtype=np.float64)
    hit = np.zeros((len(ranges), len(thresholds), len(found)), dtype=np.bool_)
    ignored = np.broadcast_to(_outside(found.area, limits)[:, None], hit.shape).copy()
    out_of_range = _outside(truth.area, limits) | truth.ignored
    num_objects = np.stack([np.bincount(truth.label[~out], minlength=num_classes) for out in out_of_range])
    for bucket in _buckets(keys, truth, num_classes):
        _match_bucket(bucket, (found, truth), similarity, thresholds, (out_of_range, hit, ignored))
    return Matches(found, rank, hit, ignored, num_objects)


@dataclass(frozen=True)
class _Bucket:
    """Pairs of image and class with about as many objects.

    Args:
        first: (n,) row of the best detection.
        count: (n,) number of detections, falling.
        objects: (n, g) rows of the objects, the last one first, since it wins a draw; filled up with repeats.
        real: (n, g) which of them are no repeats.
    """

    first: Integers
    count: Integers
    objects: Integers
    real: Booleans


def _best(found: Found, num_classes: int, most: int) -> tuple[Found, Integers, Integers]:
    """The best detections by image and class, the key of each one's image and class, and its rank there."""
    order = np.lexsort((-found.score, found.label, found.image))
    keys = _keys(found.image, found.label, num_classes)[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
    kept = rank < most
    return found.select(order[kept]), keys[kept], rank[kept]


def _keys(image: Integers, label: Integers, num_classes: int) -> Integers:
    return image * num_classes + label


def _outside(area: Floats, limits: Floats) -> Booleans:
    """(A, n): whether an area lies outside of each range."""
    outside: Booleans = (area < limits[:, :1]) | (area > limits[:, 1:])
    return outside


def _buckets(keys: Integers, truth: Truth, num_classes: int) -> Iterator[_Bucket]:
    """All pairs of image and class with detections and objects, by number of objects: powers of 2."""
    object_keys = _keys(truth.image, truth.label, num_classes)
    by_key = np.argsort(object_keys, kind="stable")
    pairs, start, num_objects = np.unique(object_keys[by_key], return_index=True, return_counts=True)
    first = np.searchsorted(keys, pairs)
    count = np.searchsorted(keys, pairs, side="right") - first
    width = 2 ** np.ceil(np.log2(num_objects)).astype(np.int64)
    for size in np.unique(width[count > 0]).tolist():
        rows = np.flatnonzero((width == size) & (count > 0))
        rows = rows[np.argsort(-count[rows], kind="stable")]
        back = num_objects[rows, None] - 1 - np.arange(size)
        yield _Bucket(first[rows], count[rows], by_key[start[rows, None] + back.clip(min=0)], back >= 0)


def _match_bucket(
    bucket: _Bucket,
    compared: tuple[Found, Truth],
    similarity: Similarity,
    thresholds: Floats,
    outcome: tuple[Booleans, Booleans, Booleans],
) -> None:
    """Fill in `hit` and `ignored` of a bucket's detections, rank by rank."""
    found, truth = compared
    out_of_range, hit, ignored = outcome
    num_ranges, num_thresholds = hit.shape[:2]
    free: Booleans = np.broadcast_to(bucket.real, (num_ranges, num_thresholds, *bucket.real.shape)).copy()
    passed: Booleans = np.take(out_of_range, bucket.objects, axis=1)  # (A, n, g)
    crowd = np.asarray(truth.crowd[bucket.objects] & bucket.real)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None, None]
    for rank in range(int(bucket.count[0])):
        active = int(np.count_nonzero(bucket.count > rank))
        detections = bucket.first[:active] + rank
        alike = similarity(found, truth, detections, bucket.objects[:active])
        close = np.flatnonzero(alike.max(1) >= least.min())
        if not len(close):
            continue
        alike, detections = alike[close], detections[close]
        able = (free[:, :, close] | crowd[close]) & (alike >= least)  # (A, T, n, g)
        aside: Booleans = np.take(passed, close, axis=1)[:, None]
        counting = able & ~aside
        some_counting = counting.any(-1, keepdims=True)
        able = np.where(some_counting, counting, able)
        chosen = np.where(able, alike, -1.0).argmax(-1)[..., None]
        matched: Booleans = np.any(able, axis=-1)
        hit[:, :, detections] = matched
        takes_ignored: Booleans = np.take_along_axis(np.broadcast_to(aside, able.shape), chosen, -1)[..., 0]
        ignored[:, :, detections] = np.where(matched, takes_ignored, ignored[:, :, detections])
        taken = np.zeros_like(able)
        np.put_along_axis(taken, chosen, matched[..., None], -1)
        free[:, :, close] = free[:, :, close] & ~taken
