"""What does a classifier say of every window of an image?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps
from lightning_cv.networks.detect.base import BatchDetector, Features
from lightning_cv.networks.detect.sampling import Choice, sample_regions


class SlidingWindow(BatchDetector):
    """A classifier of crops, with a class for the background, over windows of several sizes (row 181).

    A window of w pixels with stride s has (H - w) // s + 1 by (W - w) // s + 1 places. Its box is the detection:
    nothing corrects it. One loss: `loss_classifier`.

    Args:
        num_classes: without the background.
        backbone: sees each window; its last feature map is averaged.
        windows: heights and widths of the windows in pixels.
        stride: from one place to the next, as a share of the window's sides.
        window_px: side to which every window is resized, a multiple of 32.
        windows_trained: of an image, drawn at random, up to a half of them on objects.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        backbone: FeatureMaps | None = None,
        windows: Sequence[tuple[int, int]] = ((20, 14), (28, 20), (40, 28)),
        stride: float = 0.2,
        window_px: int = 32,
        windows_trained: int = 32,
        score_threshold: float = 0.3,
        nms_threshold: float = 0.3,
        max_detections: int = 100,
    ) -> None:
        super().__init__(num_classes, divisible_by=1)
        if not windows or min(min(window) for window in windows) < 1 or not 0 < stride <= 1:
            raise UserError(
                f"SlidingWindow: windows {[list(w) for w in windows]} and stride {stride} given, allowed: heights and "
                "widths of 1 or more, a stride above 0 up to 1"
            )
        if window_px < STRIDES[-1] or window_px % STRIDES[-1]:
            raise UserError(f"SlidingWindow window_px: {window_px} given, allowed: multiples of {STRIDES[-1]}")
        self.backbone = backbone or FeatureMaps()
        self.classify = nn.Linear(self.backbone.channels[-1], num_classes + 1)
        self.windows = tuple((height, width) for height, width in windows)
        self.stride = stride
        self.window_px = window_px
        self.windows_trained = windows_trained
        self._choose = Choice(score_threshold, nms_threshold, max_detections)

    def encode(self, images: ImageList) -> Features:
        """All crops (B, n, C, window_px, window_px) of the images, and their boxes (B, n, 4)."""
        crops, boxes = [], []
        for window in self.windows:
            steps = self._steps(window)
            if min(images.tensors.shape[-2] - window[0], images.tensors.shape[-1] - window[1]) < 0:
                continue
            cut = cut_windows(images.tensors, window, steps)
            crops.append(F.interpolate(cut.flatten(0, 1), (self.window_px, self.window_px), mode="bilinear"))
            crops[-1] = crops[-1].view(*cut.shape[:3], self.window_px, self.window_px)
            boxes.append(window_boxes(images.tensors.shape[-2:], window, steps).to(cut.device))
        if not crops:
            raise UserError(f"SlidingWindow windows: all are larger than an image of {list(images.tensors.shape[-2:])}")
        every = torch.cat(boxes)
        return {"crops": torch.cat(crops, 1), "boxes": every.expand(len(images.tensors), -1, -1)}

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        crops, labels = [], []
        for of_image, boxes, truth in zip(features["crops"], features["boxes"], objects, strict=True):
            sampled = sample_regions(boxes, truth, most=self.windows_trained, positive=0.5)
            crops.append(of_image[sampled.rows])
            labels.append(sampled.labels)
        return {"loss_classifier": F.cross_entropy(self._see(torch.cat(crops)).float(), torch.cat(labels))}

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        scores = self._see(features["crops"].flatten(0, 1)).float().softmax(1)[:, 1:]
        by_image = scores.view(len(features["boxes"]), -1, self.num_classes)
        parts = zip(features["boxes"], by_image, images.image_sizes, strict=True)
        return [self._choose(boxes, how_sure, size) for boxes, how_sure, size in parts]

    def _see(self, crops: Tensor) -> Tensor:
        scores: Tensor = self.classify(self.backbone(crops)[-1].mean((2, 3)))
        return scores

    def _steps(self, window: tuple[int, int]) -> tuple[int, int]:
        return max(1, round(window[0] * self.stride)), max(1, round(window[1] * self.stride))


def cut_windows(images: Tensor, window: tuple[int, int], steps: tuple[int, int]) -> Tensor:
    """All windows (B, n, C, h, w) of images (B, C, H, W), row by row (row 181)."""
    cut = images.unfold(2, window[0], steps[0]).unfold(3, window[1], steps[1])  # (B, C, rows, columns, h, w)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def window_boxes(size: Sequence[int], window: tuple[int, int], steps: tuple[int, int]) -> Tensor:
    """(n, 4) corners of the windows that `cut_windows` gives."""
    y = torch.arange(0, size[0] - window[0] + 1, steps[0])
    x = torch.arange(0, size[1] - window[1] + 1, steps[1])
    top, left = torch.meshgrid(y, x, indexing="ij")
    corners = torch.stack([left, top, left + window[1], top + window[0]], dim=-1)
    return corners.flatten(0, 1).float()
