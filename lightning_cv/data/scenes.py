"""Scenes of handwritten digits: images of which every object, and every pixel, is known exactly, made here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from lightning_cv.contracts import KeypointSet, Objects, Pixels, PixelSet, Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.options import check_option
from lightning_cv.data.palette import palette
from lightning_cv.data.partition import hold_out
from lightning_cv.data.scene_drawing import EXTREMES, Scene, Style, boxes_of, draw_scene
from lightning_cv.errors import UserError

Told = TypeVar("Told")
Truth = Literal["objects", "semantic", "panoptic"]
STUFF = ("ground", "clutter")
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
        each_digit: whether each digit is a class; else there is one, `digit`.
        truth: what is told of a scene. `objects`: the digits with their boxes. `semantic`: the class of each pixel:
            `ground`, `clutter` (strokes and blots), and the digits. `panoptic`: also which digit each belongs to.
        masks: whether objects have masks; they take memory.
        keypoints: whether objects have keypoints.
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
        each_digit: bool = True,
        truth: Truth = "objects",
        masks: bool = False,
        keypoints: bool = False,
        scene_seed: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        for key, value, least in (("num_train", num_train, 1), ("num_val", num_val, 1), ("num_test", num_test, 1)):
            check_option(key, value, f"{least} or more", value >= least)
        check_option("size_px", size_px, "32 or more", size_px >= 32)
        low, high = object_px
        check_option(
            "object_px",
            list(object_px),
            f"two ascending numbers, 8 to size_px ({size_px})",
            8 <= low <= high <= size_px,
        )
        check_option("max_objects", max_objects, "1 or more", max_objects >= 1)
        check_option("empty", empty, "0 to 1", 0 <= empty <= 1)
        check_option("clutter", clutter, "0 or more", clutter >= 0)
        chosen = list(range(10)) if digits is None else digits
        different = bool(chosen) and len({*chosen} & {*range(10)}) == len(chosen)
        check_option("digits", digits, "different ones of 0 to 9", different)
        if truth != "objects" and (masks or keypoints):
            raise UserError(
                f"data.init_args.truth: {truth} has neither masks nor keypoints; allowed with these: objects"
            )
        if self.fold is not None:
            raise UserError("data.init_args.fold: scenes are drawn, not divided; allowed: null")
        self.num_scenes = {Stage.TRAIN: num_train, Stage.VAL: num_val, Stage.TEST: num_test, Stage.PREDICT: num_test}
        self.style = Style(size_px, (low, high), max_objects, empty, clutter)
        self.digits = chosen
        self.each_digit = each_digit
        self.truth = truth
        self.masks = masks
        self.keypoints = keypoints
        self.scene_seed = scene_seed

    def load(self, stage: Stage) -> ObjectScenes | PixelScenes:
        """The scenes of one part, drawn with digits of its own."""
        glyphs, labels = _glyphs(_NUMBERS[stage], tuple(self.digits))
        labels = labels if self.each_digit else torch.zeros_like(labels)
        drawing = Drawing(glyphs, labels, self.style, (self.scene_seed, _NUMBERS[stage]))
        title, number = f"Scenes {stage}", self.num_scenes[stage]
        digits = tuple(str(digit) for digit in self.digits) if self.each_digit else ("digit",)
        if self.truth == "objects":
            keypoints = EXTREMES if self.keypoints else None
            return ObjectScenes(drawing, number, digits, title, with_masks=self.masks, keypoints=keypoints)
        return PixelScenes(drawing, number, (*STUFF, *digits), title, segments=self.truth == "panoptic")


@dataclass(frozen=True)
class Drawing:
    """How the scenes of a split are drawn, each from (seed, part, number).

    Args:
        glyphs: (G, 8, 8) uint8.
        labels: (G,) int64, which of the digits each is.
        style: what scenes look like.
        seed: of the draws, with the number of a scene.
    """

    glyphs: np.ndarray[Any, Any]
    labels: Tensor
    style: Style
    seed: tuple[int, int]

    def draw(self, index: int) -> Scene:
        """One scene."""
        return draw_scene(self.glyphs, self.style, np.random.default_rng((*self.seed, index)))

    def labels_of(self, scene: Scene) -> Tensor:
        """(N,) int64: which digit each object is."""
        return self.labels[torch.tensor(scene.glyphs, dtype=torch.int64)]


class DrawnScenes(ABC, Generic[Told]):
    """A split of scenes, each drawn when first asked for.

    Args:
        drawing: how.
        num_scenes: how many there are.
        class_names: one name a class.
        title: what to call the split in messages.
    """

    def __init__(self, drawing: Drawing, num_scenes: int, class_names: tuple[str, ...], title: str) -> None:
        self._drawing = drawing
        self._num_scenes = num_scenes
        self._class_names = class_names
        self._title = title
        self._drawn: dict[int, tuple[Tensor, Told]] = {}

    @abstractmethod
    def tell(self, scene: Scene, labels: Tensor) -> Told:
        """What is said of a scene whose N objects have these labels, (N,) int64."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        return self._class_names

    def __len__(self) -> int:
        return self._num_scenes

    def __getitem__(self, index: int) -> tuple[Tensor, Told]:
        if index not in self._drawn:
            scene = self._drawing.draw(index)
            image = torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()
            self._drawn[index] = image, self.tell(scene, self._drawing.labels_of(scene))
        return self._drawn[index]

    def name(self, index: int) -> str:
        """`Scenes <part> #<number>`."""
        return f"{self._title} #{index}"


class ObjectScenes(DrawnScenes[Objects]):
    """Scenes of which the digits are told.

    Args:
        scenes: see `DrawnScenes`.
        with_masks: give masks.
        keypoints: what keypoints to give; None: none.
    """

    def __init__(self, *scenes: Any, with_masks: bool, keypoints: KeypointSet | None) -> None:
        super().__init__(*scenes)
        self._with_masks = with_masks
        self.keypoints = keypoints

    def tell(self, scene: Scene, labels: Tensor) -> Objects:
        """Boxes, and what else was asked for."""
        masks = torch.from_numpy(scene.masks)
        return Objects(
            boxes=torch.from_numpy(boxes_of(scene.masks)).float(),
            labels=labels,
            crowd=torch.zeros(len(masks), dtype=torch.bool),
            areas=masks.sum((1, 2)).float(),
            masks=masks.to(torch.uint8) if self._with_masks else None,
            keypoints=torch.from_numpy(scene.keypoints).float() if self.keypoints is not None else None,
        )


class PixelScenes(DrawnScenes[Pixels]):
    """Scenes of which every pixel is told.

    Args:
        scenes: see `DrawnScenes`.
        segments: also tell to which segment each belongs.
    """

    def __init__(self, *scenes: Any, segments: bool) -> None:
        super().__init__(*scenes)
        number = len(self.class_names)
        things = tuple(label >= len(STUFF) for label in range(number)) if segments else None
        self.pixels = PixelSet(palette(number), tuple(range(number)), things)

    def tell(self, scene: Scene, labels: Tensor) -> Pixels:
        """The class of each pixel; segments are `ground`, `clutter`, and from 2 the digits as they were laid."""
        classes = torch.from_numpy(scene.clutter.astype(np.int16))
        segments = classes.int()
        for number, (mask, label) in enumerate(zip(torch.from_numpy(scene.masks), labels.tolist(), strict=True)):
            classes[mask] = label + len(STUFF)
            segments[mask] = number + len(STUFF)
        return Pixels(classes, segments if self.pixels.things is not None else None)


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
