"""What is known of all detections and all objects of a set when they are compared: arrays, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """D detections of a set.

    Args:
        image: (D,) which image each is on, any numbers.
        label: (D,) class indices.
        score: (D,) the higher, the surer.
        area: (D,) in square pixels.
        shape: what a `Similarity` compares: boxes (D, 4), D encoded masks, keypoints (D, K, 3).
    """

    image: Integers
    label: Integers
    score: Floats
    area: Floats
    shape: Any

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: Integers) -> Found:
        """Some of them, in this order."""
        return Found(self.image[rows], self.label[rows], self.score[rows], self.area[rows], _rows(self.shape, rows))


@dataclass(frozen=True)
class Truth:
    """G objects of a set.

    Args:
        image: (G,) which image each is on.
        label: (G,) class indices.
        area: (G,) in square pixels: of the object, not of its box, where that is known.
        crowd: (G,) a region with many objects: any number of detections may match it, and none counts.
        ignored: (G,) objects that nobody has to find, and that no detection is blamed for; crowds are among them.
        shape: what a `Similarity` compares with the detections' shapes.
    """

    image: Integers
    label: Integers
    area: Floats
    crowd: Booleans
    ignored: Booleans
    shape: Any

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: Integers) -> Truth:
        """Some of them, in this order."""
        return Truth(
            self.image[rows],
            self.label[rows],
            self.area[rows],
            self.crowd[rows],
            self.ignored[rows],
            _rows(self.shape, rows),
        )


def _rows(shape: Any, rows: Integers) -> Any:
    return shape[rows] if isinstance(shape, np.ndarray) else [shape[row] for row in rows.tolist()]
