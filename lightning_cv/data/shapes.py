"""Pictures of one coloured shape each, made here: what a caption says of them is known exactly."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.options import check_option
from lightning_cv.data.shape_drawing import COLORS, SHAPES, any_shape, draw_shape
from lightning_cv.data.splits import ResidentSplit

LabelBy = Literal["both", "color", "shape"]
_PARTS = {Stage.TRAIN: 0, Stage.VAL: 1, Stage.TEST: 2, Stage.PREDICT: 2}


class Shapes(VisionData):
    """Squares, discs, triangles and crosses, red, green, blue or yellow, of any size and place, on a dark ground.

    A picture follows from the seed, its part and its number alone; each of the 16 combinations is equally frequent.

    Args:
        num_train: pictures of an epoch.
        num_val: pictures that validate.
        num_test: pictures for the test, and to predict.
        size_px: side of a picture, 8 or more.
        shape_px: smallest and largest side of the square around a shape, 4 to `size_px`.
        label_by: what the class is: `both`, such as "red square"; `color`; `shape`.
        shape_seed: what is drawn follows from it.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        *,
        num_train: int = 2000,
        num_val: int = 400,
        num_test: int = 400,
        size_px: int = 16,
        shape_px: tuple[int, int] = (6, 12),
        label_by: LabelBy = "both",
        shape_seed: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        for key, value, least in (
            ("num_train", num_train, 1),
            ("num_val", num_val, 1),
            ("num_test", num_test, 1),
            ("size_px", size_px, 8),
        ):
            check_option(key, value, f"{least} or more", value >= least)
        low, high = shape_px
        check_option(
            "shape_px", list(shape_px), f"two ascending numbers, 4 to size_px ({size_px})", 4 <= low <= high <= size_px
        )
        check_option("label_by", label_by, ", ".join(get_args(LabelBy)), label_by in get_args(LabelBy))
        check_option("fold", self.fold, "null: shapes are drawn, not divided", self.fold is None)
        self.num_pictures = {Stage.TRAIN: num_train, Stage.VAL: num_val, Stage.TEST: num_test, Stage.PREDICT: num_test}
        self.size_px = size_px
        self.shape_px = low, high
        self.label_by = label_by
        self.shape_seed = shape_seed

    def load(self, stage: Stage) -> ResidentSplit:
        """The pictures of one part; prediction takes the test part."""
        part, count = _PARTS[stage], self.num_pictures[stage]
        images = np.stack([self._draw(part, index) for index in range(count)])
        kind = torch.arange(count) % (len(SHAPES) * len(COLORS))
        color, shape = kind // len(SHAPES), kind % len(SHAPES)
        labels, names = {
            "both": (kind, tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)),
            "color": (color, tuple(COLORS)),
            "shape": (shape, SHAPES),
        }[self.label_by]
        # Parts have seeds of their own; as positions, these lie behind each other.
        position = torch.arange(count) + sum(self.num_pictures[stage] for stage in list(_PARTS)[:part])
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return ResidentSplit(pictures, labels, names, f"Shapes {stage}", position)

    def _draw(self, part: int, index: int) -> np.ndarray[Any, Any]:
        color, shape = divmod(index % (len(SHAPES) * len(COLORS)), len(SHAPES))
        generator = np.random.default_rng((self.shape_seed, part, index))
        drawn = any_shape(SHAPES[shape], list(COLORS)[color], self.size_px, self.shape_px, generator)
        return draw_shape(drawn, self.size_px)
