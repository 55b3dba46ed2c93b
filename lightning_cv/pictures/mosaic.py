"""How do images lie side by side in one picture whose text tells what is on them, for a tracker to draw?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_cv.contracts import OVERLAYS

_MOST = 255  # of the numbers that W&B's masks have


class Mosaic:
    """Images in about as many rows as columns, and masks of the whole.

    Args:
        pictures: one after the other, each up to `side_px` wide and high.
        side_px: of the square that each has.
    """

    def __init__(self, pictures: Sequence[Image.Image], side_px: int) -> None:
        columns = math.ceil(math.sqrt(len(pictures)))
        rows = -(-len(pictures) // max(columns, 1))
        self._side_px = side_px
        self._columns = columns
        self._canvas = Image.new("RGB", (columns * side_px, rows * side_px))
        for picture, corner in zip(pictures, self.corners(len(pictures)), strict=True):
            self._canvas.paste(picture, corner)

    def corners(self, count: int) -> Iterator[tuple[int, int]]:
        """(left, top) of the first images."""
        for number in range(count):
            yield number % self._columns * self._side_px, number // self._columns * self._side_px

    def empty_mask(self) -> NDArray[np.uint8]:
        """(H, W) of zeros: nothing; class k is k + 1, see `numbered`."""
        return np.zeros((self._canvas.height, self._canvas.width), dtype=np.uint8)

    def finished(
        self, names: Sequence[str], *, boxes: Mapping[str, Any], masks: Mapping[str, NDArray[np.uint8]]
    ) -> Image.Image:
        """The picture, with what lies where as JSON in its text.

        Args:
            names: one a class.
            boxes: by who says so ("predictions", "ground_truth"), as W&B takes them.
            masks: the same, as `empty_mask` made them; those with nothing are left out.
        """
        self._canvas.info[OVERLAYS] = json.dumps(
            {
                "boxes": dict(boxes),
                "class_labels": {str(number): name for number, name in enumerate(names)},
                "masks": {key: _runs(mask) for key, mask in masks.items() if mask.any()},
                "size": [self._canvas.height, self._canvas.width],
            }
        )
        return self._canvas


def numbered(classes: NDArray[Any]) -> NDArray[np.uint8]:
    """Class indices as a mask has them: 0 where the class is below 0."""
    return np.clip(classes.astype(np.int64) + 1, 0, _MOST).astype(np.uint8)


def _runs(classes: NDArray[Any]) -> list[list[int]]:
    """[value, count] of each run, row by row."""
    flat = classes.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    return [[int(flat[s]), int(n)] for s, n in zip(starts, np.diff(np.r_[starts, flat.size]), strict=True)]
