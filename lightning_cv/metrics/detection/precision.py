"""How do precision and recall of matched detections become average precision?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lightning_cv.metrics.detection.matching import Matches
from lightning_cv.metrics.detection.records import Booleans, Floats, Integers

RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads the precision


@dataclass(frozen=True)
class Averages:
    """Average precision and recall; NaN for a class that has no object in a range.

    Args:
        precision: (A, T, classes), the mean of the precision at 101 recalls, each the best at that recall or beyond it.
        exact: (A, T, classes), the area under the curve of precision over recall as it is.
        recall: (A, T, classes), the share of the objects that is found.
    """

    precision: Floats
    exact: Floats
    recall: Floats


def average(matches: Matches, *, max_detections: int | None = None) -> Averages:
    """Average over the recalls of each class, range and threshold (row 203).

    The exact area is the sum over the hits of precision / objects: scikit-learn's `average_precision_score`, and what
    "the area under the curve" means in a text book. The other one is COCO's (pycocotools `COCOeval.accumulate`).

    Args:
        matches: of a set.
        max_detections: only so many of an image and class, the best ones; None: all.
    """
    shape = (*matches.hit.shape[:2], matches.num_objects.shape[1])
    kept = matches.rank < max_detections if max_detections is not None else np.ones(len(matches.rank), dtype=np.bool_)
    precision, exact, recall = (np.full(shape, np.nan) for _ in range(3))
    for label, rows in _by_class(matches, kept):
        for a, total in enumerate(matches.num_objects[:, label].tolist()):
            if total:
                hits, ignored = matches.hit[a][:, rows], matches.ignored[a][:, rows]
                found = _cumulated(hits & ~ignored)
                wrong = _cumulated(~hits & ~ignored)
                curve = found / np.maximum(found + wrong, np.spacing(1))
                recall[a, :, label] = found[:, -1] / total if len(rows) else 0.0
                exact[a, :, label] = (curve * (hits & ~ignored)).sum(1) / total
                precision[a, :, label] = _interpolated(curve, found / total)
    return Averages(precision, exact, recall)


def _by_class(matches: Matches, kept: Booleans) -> Iterator[tuple[int, Integers]]:
    """Each class with objects, and its detections from the surest on; equal ones in the order of the images."""
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((-matches.found.score[rows], matches.found.label[rows]))]
    labels = matches.found.label[rows]
    for label in np.flatnonzero(matches.num_objects.any(0)).tolist():
        yield label, rows[np.searchsorted(labels, label) : np.searchsorted(labels, label, side="right")]


def _cumulated(which: Booleans) -> Floats:
    return np.cumsum(which, axis=1, dtype=np.float64)


def _interpolated(curve: Floats, recall: Floats) -> Floats:
    """(T,): the mean over `RECALLS` of the best precision at that recall or beyond, 0 where it is never reached."""
    best = np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1]
    means = np.zeros(len(curve))
    for t, (values, reached) in enumerate(zip(best, recall, strict=True)):
        places = np.searchsorted(reached, RECALLS, side="left")
        means[t] = values[places[places < len(values)]].sum() / len(RECALLS)
    return means
