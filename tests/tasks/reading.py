"""Images that say the class of each pixel, and networks that read it: what is found is known."""

from __future__ import annotations

import torch
from torch import nn

from lightning_cv.contracts import IGNORED, VOID, Panoptic, PanopticOutput, Pixels, PixelSet, Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.palette import palette
from lightning_cv.data.splits import Split

CLASSES = 4
STEP = 40  # of red between two classes


class Told:
    """A split of images whose red says the class, and green the segment, of each pixel.

    Every second one is larger; some pixels are ignored, and a tenth are drawn as another class.
    """

    def __init__(self, number: int, seed: int, *, segments: bool = False) -> None:
        self.number, self.seed = number, seed
        things = (False, False, True, True) if segments else None
        self.pixels = PixelSet(palette(CLASSES), (0, 3, 5, 9), things)
        self.class_names = ("a", "b", "c", "d")

    def __len__(self) -> int:
        return self.number

    def name(self, index: int) -> str:
        return f"told/{self.seed}/{index}.png"

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Pixels]:
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        height, width = 18 + 4 * (index % 2), 26
        blocks = torch.randint(CLASSES, (height // 2 + 1, width // 2 + 1), generator=generator)
        classes = blocks.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]
        wrong = torch.rand(height, width, generator=generator) < 0.1
        drawn = torch.where(wrong, torch.randint(CLASSES, (height, width), generator=generator), classes)
        classes = torch.where(torch.rand(height, width, generator=generator) < 0.1, IGNORED, classes)
        segments = torch.where(
            classes == IGNORED, VOID, classes + 4 * (torch.arange(width) >= width // 2) * (classes > 1)
        )
        image = torch.stack(
            [drawn * STEP, (drawn + 4 * (torch.arange(width) >= width // 2) * (drawn > 1)) * 8, wrong * 9]
        )
        with_segments = segments.int() if self.pixels.things is not None else None
        return image.to(torch.uint8), Pixels(classes.to(torch.int16), with_segments)


class ToldData(VisionData):
    """4 training images, `number` for validation and test."""

    def __init__(self, number: int = 7, *, segments: bool = False, **shared) -> None:
        super().__init__(**{"batch_size": 3, "normalize": False, "shuffle_seed": 1, **shared})
        self.number, self.with_segments = number, segments

    def load(self, stage: Stage) -> Split:
        number = 4 if stage is Stage.TRAIN else self.number
        return Told(number, list(Stage).index(stage), segments=self.with_segments)


class Reading(nn.Module):
    """Scores that are largest for the class that a pixel's red says; with `auxiliary` others behind them."""

    def __init__(self, *, auxiliary: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.num_classes, self.auxiliary = CLASSES, auxiliary
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        said = images[:, :1] * 255 / STEP
        scores = -self.weight * (said - torch.arange(CLASSES).view(1, -1, 1, 1)) ** 2
        return (scores, scores / 2) if self.auxiliary and self.training else scores


class ReadingSegments(nn.Module):
    """Finds the segments that green says, of the class that red says."""

    def __init__(self, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.num_classes, self.things = num_classes, (False, False, True, True)

    def forward(self, images, sizes, truth=None) -> PanopticOutput:
        losses = {"loss_one": self.weight * 2, "loss_two": self.weight**2 * 3}
        if self.training:
            return PanopticOutput(losses)
        found = [self._found(image[:, :h, :w]) for image, (h, w) in zip(images, sizes.tolist(), strict=True)]
        return PanopticOutput(losses if truth is not None else {}, found)

    def _found(self, image) -> Panoptic:
        numbers, places = (image[1] * 255 / 8).round().long().unique(return_inverse=True)
        labels = torch.where(numbers >= 4, numbers - 4, numbers)
        return Panoptic(places, labels, torch.tensor(self.things)[labels])
