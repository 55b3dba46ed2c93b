"""Scenes of handwritten digits: images with objects whose boxes, masks and keypoints are known exactly, made here."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_cv.contracts import KeypointSet, Objects, Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.partition import hold_out
from lightning_cv.data.scene_drawing import EXTREMES, Style, boxes_of, draw_scene
from lightning_cv.errors import UserError

_NUMBERS = {Stage.TRAIN: 0, Stage.VAL: 1, Stage.TEST: 2, Stage.PREDICT: 2}


class Scenes(VisionData):
    """Digits of many sizes and colours on cluttered canvases, some covering each other, some canvases empty.

    The digits are scikit-learn's (1,797 real ones, 8 x 8 pixels); those of validation and of test are others than those
    of training. A scene is drawn when it is first asked for, from the seed and its number, and kept. A box is the
    smallest around what is seen of a digit; keypoints are the ends of its strokes: top, right, bottom, left.

    Args:
        num_train: scenes of an epoch.
        num_val: scenes that validate.
        num_test: scenes for the test, and to predict.
        size_px: side of the canvas, 32 or more.
        object_px: smallest and largest height of a digit.
        max_objects: digits on a scene at most; an equal share of the scenes has each number from 1.
        empty: share of the scenes without any digit.
        clutter: strokes and blots on a scene at most.
        digits: which digits there are, 0 to 9 each; the classes, in this order.
        masks: whether masks are given; they take memory.
        keypoints: whether keypoints are given.
        scene_seed: what is drawn follows from it.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        *,
        num_train: int = 1000,
        num_val: int = 200,
        num_test: int = 200,
        size_px: int = 96,
        object_px: tuple[int, int] = (20, 48),
        max_objects: int = 4,
        empty: float = 0.05,
        clutter: int = 6,
        digits: list[int] | None = None,
        masks: bool = False,
        keypoints: bool = False,
        scene_seed: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        for key, value, least in (("num_train", num_train, 1), ("num_val", num_val, 1), ("num_test", num_test, 1)):
            _check(key, value, f"{least} or more", value >= least)
        _check("size_px", size_px, "32 or more", size_px >= 32)
        low, high = object_px
        _check(
            "object_px",
            list(object_px),
            f"two ascending numbers, 8 to size_px ({size_px})",
            8 <= low <= high <= size_px,
        )
        _check("max_objects", max_objects, "1 or more", max_objects >= 1)
        _check("empty", empty, "0 to 1", 0 <= empty <= 1)
        _check("clutter", clutter, "0 or more", clutter >= 0)
        chosen = list(range(10)) if digits is None else digits
        different = bool(chosen) and len({*chosen} & {*range(10)}) == len(chosen)
        _check("digits", digits, "different ones of 0 to 9", different)
        if self.fold is not None:
            raise UserError("data.init_args.fold: scenes are drawn, not divided; allowed: null")
        self.num_scenes = {Stage.TRAIN: num_train, Stage.VAL: num_val, Stage.TEST: num_test, Stage.PREDICT: num_test}
        self.style = Style(size_px, (low, high), max_objects, empty, clutter)
        self.digits = chosen
        self.masks = masks
        self.keypoints = keypoints
        self.scene_seed = scene_seed

    def load(self, stage: Stage) -> DrawnScenes:
        """The scenes of one part, drawn with digits of its own."""
        glyphs, labels = _glyphs(_NUMBERS[stage], tuple(self.digits))
        return DrawnScenes(
            glyphs,
            labels,
            self.style,
            (self.scene_seed, _NUMBERS[stage]),
            self.num_scenes[stage],
            class_names=tuple(str(digit) for digit in self.digits),
            with_masks=self.masks,
            keypoints=EXTREMES if self.keypoints else None,
            title=f"Scenes {stage}",
        )


class DrawnScenes:
    """A split of scenes, each drawn from (seed, part, number) when first asked for.

    Args:
        glyphs: (G, 8, 8) uint8.
        labels: (G,) int64 class index of each.
        style: what scenes look like.
        seed: of the draws, with the number of a scene.
        num_scenes: how many there are.
        class_names: one name a class.
        with_masks: give masks.
        keypoints: what keypoints to give; None: none.
        title: what to call the split in messages.
    """

    def __init__(
        self,
        glyphs: np.ndarray,
        labels: Tensor,
        style: Style,
        seed: tuple[int, int],
        num_scenes: int,
        *,
        class_names: tuple[str, ...],
        with_masks: bool,
        keypoints: KeypointSet | None,
        title: str,
    ) -> None:
        self._glyphs = glyphs
        self._labels = labels
        self._style = style
        self._seed = seed
        self._num_scenes = num_scenes
        self._class_names = class_names
        self._with_masks = with_masks
        self.keypoints = keypoints
        self._title = title
        self._drawn: dict[int, tuple[Tensor, Objects]] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits."""
        return self._class_names

    def __len__(self) -> int:
        return self._num_scenes

    def __getitem__(self, index: int) -> tuple[Tensor, Objects]:
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        return self._drawn[index]

    def name(self, index: int) -> str:
        """`Scenes <part> #<number>`."""
        return f"{self._title} #{index}"

    def _draw(self, index: int) -> tuple[Tensor, Objects]:
        scene = draw_scene(self._glyphs, self._style, np.random.default_rng((*self._seed, index)))
        masks = torch.from_numpy(scene.masks)
        return torch.from_numpy(scene.image).permute(2, 0, 1).contiguous(), Objects(
            boxes=torch.from_numpy(boxes_of(scene.masks)).float(),
            labels=self._labels[torch.tensor(scene.glyphs, dtype=torch.int64)],
            crowd=torch.zeros(len(masks), dtype=torch.bool),
            areas=masks.sum((1, 2)).float(),
            masks=masks.to(torch.uint8) if self._with_masks else None,
            keypoints=torch.from_numpy(scene.keypoints).float() if self.keypoints is not None else None,
        )


@lru_cache
def _glyphs(part: int, digits: tuple[int, ...]) -> tuple[np.ndarray, Tensor]:
    """The glyphs of training (3 fifths), validation or test (1 fifth each), and their class indices."""
    # Imported late, since scikit-learn takes a second that other data sets need not wait.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    targets = torch.from_numpy(bunch.target).long()
    rest, test = hold_out(targets, 0.2, seed=0)
    train, val = hold_out(targets[rest], 0.25, seed=0)
    positions = (rest[train], rest[val], test)[part]
    wanted = torch.tensor([digits.index(t) if t in digits else -1 for t in targets[positions].tolist()])
    positions = positions[wanted >= 0]
    glyphs = np.minimum(bunch.images[positions.numpy()] * 16, 255).astype(np.uint8)
    return glyphs, wanted[wanted >= 0]


def _check(key: str, value: object, allowed: str, holds: bool) -> None:
    if not holds:
        raise UserError(f"data.init_args.{key}: {value} given, allowed: {allowed}")
