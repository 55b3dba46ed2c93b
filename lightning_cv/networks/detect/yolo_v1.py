"""YOLO, version 1: the cells of a grid say which object's middle they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_convert, box_iou

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps
from lightning_cv.networks.detect.base import BatchDetector, Features
from lightning_cv.networks.detect.sampling import Choice


class YoloV1(BatchDetector):
    """An S x S grid, whose cells give B boxes with a confidence each, and C class probabilities (row 193).

    Redmon et al. 2016: 5 B + C numbers a cell, 7 x 7 x 30 for Pascal VOC with B = 2. Of the boxes of a cell that holds
    an object's middle, the one that overlaps it most answers for it; its confidence should be that overlap. The
    losses are squared errors, of sides those of their roots (eq. 3): `loss_box` (weight 5), `loss_object`,
    `loss_no_object` (weight 0.5), `loss_class`; weights are in them. Of two objects in one cell the larger is trained.

    It departs from the paper in that convolutions, not fully connected layers, make the output, in batch norms, and in
    sigmoids that hold numbers in [0, 1].

    Args:
        num_classes: C.
        backbone: sees the image.
        grid: S.
        boxes: B, of a cell.
        stride: of the feature map that the grid is made of: 8, 16, 32.
        width: channels of the two convolutions on it.
        score_threshold: detections below go; a score is confidence times class probability.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        backbone: FeatureMaps | None = None,
        grid: int = 7,
        boxes: int = 2,
        stride: int = 16,
        width: int = 128,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__(num_classes)
        if stride not in STRIDES or grid < 1 or boxes < 1:
            raise UserError(
                f"YoloV1: stride {stride}, grid {grid}, boxes {boxes} given, allowed: strides "
                f"{', '.join(map(str, STRIDES))}, a grid and boxes of 1 or more"
            )
        self.backbone = backbone or FeatureMaps()
        self.grid = grid
        self.num_boxes = boxes
        self._level = STRIDES.index(stride)
        self.backbone.without_stages_beyond(self._level)
        channels = self.backbone.channels[self._level]
        self.head = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool2d(grid),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 5 * boxes + num_classes, 1),
        )
        self._choose = Choice(score_threshold, nms_threshold, max_detections)

    def encode(self, images: ImageList) -> Features:
        """The grid, (B, S, S, 5 B + C): of each box x and y in its cell, root of width and height, confidence."""
        said = self.head(self.backbone(images.tensors)[self._level]).permute(0, 2, 3, 1).float()
        split = 5 * self.num_boxes
        return {"grid": torch.cat([said[..., :split].sigmoid(), said[..., split:].softmax(-1)], dim=-1)}

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        grid = features["grid"]
        boxes, classes = self._parts(grid)
        confidence = boxes[..., 4]
        answers = torch.zeros_like(confidence, dtype=torch.bool)
        sums = {name: grid.new_zeros(()) for name in ("loss_box", "loss_object", "loss_class")}
        padded = images.tensors.shape[-2:]
        for image, truth in enumerate(objects):
            cells = self._cells(truth, (padded[0], padded[1]))
            if not len(cells.row):
                continue
            said = boxes[image, cells.row, cells.column]  # (n, B, 5)
            overlap = self._overlap(said, cells)
            best = overlap.argmax(1)
            number = torch.arange(len(best), device=best.device)
            chosen = said[number, best]
            answers[image, cells.row, cells.column, best] = True
            sums["loss_box"] = sums["loss_box"] + (chosen[:, :4] - cells.wanted).square().sum()
            sums["loss_object"] = sums["loss_object"] + (chosen[:, 4] - overlap[number, best]).square().sum()
            hot = nn.functional.one_hot(cells.label, self.num_classes)
            sums["loss_class"] = sums["loss_class"] + (classes[image, cells.row, cells.column] - hot).square().sum()
        silent = (confidence * ~answers).square().sum()
        count = len(objects)
        return {
            "loss_box": 5 * sums["loss_box"] / count,
            "loss_object": sums["loss_object"] / count,
            "loss_no_object": 0.5 * silent / count,
            "loss_class": sums["loss_class"] / count,
        }

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        boxes, classes = self._parts(features["grid"])
        height, width = images.tensors.shape[-2:]
        corners = self._corners(boxes[..., :4]) * boxes.new_tensor([width, height, width, height])
        scores = boxes[..., 4:] * classes[..., None, :]
        return [
            self._choose(where.flatten(0, 2), how_sure.flatten(0, 2), size)
            for where, how_sure, size in zip(corners, scores, images.image_sizes, strict=True)
        ]

    def _parts(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (B, S, S, boxes, 5) and class probabilities (B, S, S, C)."""
        split = 5 * self.num_boxes
        return grid[..., :split].unflatten(-1, (self.num_boxes, 5)), grid[..., split:]

    def _corners(self, boxes: Tensor) -> Tensor:
        """(..., S, S, boxes, 4) as shares of the image, from places in cells and roots of sides."""
        places = torch.arange(self.grid, device=boxes.device)
        row, column = torch.meshgrid(places, places, indexing="ij")
        middle = torch.stack([column, row], dim=-1)[:, :, None]
        centred = torch.cat([(boxes[..., :2] + middle) / self.grid, boxes[..., 2:4].square()], dim=-1)
        return box_convert(centred, "cxcywh", "xyxy")

    def _cells(self, objects: Objects, size: tuple[int, int]) -> _Cells:
        """The cell of each object's middle, the largest object of each, and what should be said of it."""
        shares = objects.boxes / objects.boxes.new_tensor([size[1], size[0], size[1], size[0]])
        centred = box_convert(shares, "xyxy", "cxcywh")
        order = centred[:, 2:].prod(1).argsort(descending=True, stable=True)
        places = (centred[order, :2] * self.grid).long().clamp(0, self.grid - 1)
        seen: dict[int, int] = {}
        for number, cell in enumerate((places[:, 1] * self.grid + places[:, 0]).tolist()):
            seen.setdefault(cell, number)
        kept = order[list(seen.values())] if seen else order[:0]
        column, row = (centred[kept, :2] * self.grid).long().clamp(0, self.grid - 1).unbind(1)
        inside = centred[kept, :2] * self.grid - torch.stack([column, row], dim=1)
        wanted = torch.cat([inside, centred[kept, 2:].sqrt()], dim=1)
        return _Cells(row, column, objects.labels[kept], wanted, shares[kept])

    def _overlap(self, said: Tensor, cells: _Cells) -> Tensor:
        """(n, B): of each cell's boxes with its object; no gradient flows through it."""
        said = said.detach()
        middle = torch.stack([cells.column, cells.row], dim=1)[:, None]
        centred = torch.cat([(said[..., :2] + middle) / self.grid, said[..., 2:4].square()], dim=-1)
        corners = box_convert(centred, "cxcywh", "xyxy")
        return torch.stack([box_iou(boxes, truth[None])[:, 0] for boxes, truth in zip(corners, cells.box, strict=True)])


class _Cells(NamedTuple):
    """Cells with an object: where, its class, what its box should say (n, 4), and its corners as shares (n, 4)."""

    row: Tensor
    column: Tensor
    label: Tensor
    wanted: Tensor
    box: Tensor
