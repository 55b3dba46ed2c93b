"""R-CNN and Fast R-CNN: regions proposed from outside are classified and corrected, alone or out of shared features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import roi_align

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps
from lightning_cv.networks.blocks.region_pool import RegionPool
from lightning_cv.networks.detect.base import BatchDetector, Features
from lightning_cv.networks.detect.of_torchvision import as_detections
from lightning_cv.networks.detect.proposals import Proposals, SelectiveSearch, boxes_of
from lightning_cv.networks.detect.sampling import Choice, Sampled, sample_regions

_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the four numbers of a box transform (row 184)
_PROPOSALS = "proposals"


class Rcnn(BatchDetector):
    """R-CNN: every proposed region is cut out, warped to one size, and seen by the network alone (row 183).

    Girshick et al. 2014, with a softmax instead of support vector machines behind the network, and trained in one go.
    Losses: `loss_classifier`, `loss_box_reg`; the box is corrected for each class by itself (rows 184, 194).

    Args:
        num_classes: without the background.
        proposals: regions of an image; None: selective search.
        backbone: sees each region; its last feature map is averaged.
        region_px: side of a warped region, a multiple of 32.
        context: how much wider and higher than its box what is cut out is, as a share.
        regions_trained: of an image, drawn at random, up to a quarter of them on objects.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        proposals: Proposals | None = None,
        *,
        backbone: FeatureMaps | None = None,
        region_px: int = 32,
        context: float = 0.15,
        regions_trained: int = 32,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        max_detections: int = 100,
    ) -> None:
        super().__init__(num_classes, divisible_by=1)
        if region_px < STRIDES[-1] or region_px % STRIDES[-1]:
            raise UserError(f"Rcnn region_px: {region_px} given, allowed: multiples of {STRIDES[-1]}")
        self.proposals = proposals or SelectiveSearch()
        self.backbone = backbone or FeatureMaps()
        width = self.backbone.channels[-1]
        self.classify = nn.Linear(width, num_classes + 1)
        self.correct = nn.Linear(width, 4 * num_classes)
        nn.init.normal_(self.correct.weight, std=0.001)
        nn.init.zeros_(self.correct.bias)
        self.region_px = region_px
        self.context = context
        self.regions_trained = regions_trained
        self._choose = Choice(score_threshold, nms_threshold, max_detections)
        self._coder = BoxCoder(_WEIGHTS)

    def encode(self, images: ImageList) -> Features:
        """The proposals: nothing is shared between regions."""
        return {_PROPOSALS: self.proposals(images)}

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        samples = [
            sample_regions(torch.cat([boxes, truth.boxes]), truth, most=self.regions_trained)
            for boxes, truth in zip(boxes_of(features[_PROPOSALS]), objects, strict=True)
        ]
        scores, corrections = self._see(images, [sample.boxes for sample in samples])
        labels = torch.cat([sample.labels for sample in samples])
        if not len(labels):
            return {"loss_classifier": scores.sum(), "loss_box_reg": corrections.sum()}
        return {
            "loss_classifier": F.cross_entropy(scores.float(), labels),
            "loss_box_reg": self._box_loss(corrections.float(), labels, samples),
        }

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        boxes = boxes_of(features[_PROPOSALS])
        scores, corrections = self._see(images, boxes)
        corrected = self._coder.decode(corrections.float(), boxes).view(-1, self.num_classes, 4)
        probabilities = scores.float().softmax(1)[:, 1:]
        counts = [len(b) for b in boxes]
        parts = zip(corrected.split(counts), probabilities.split(counts), images.image_sizes, strict=True)
        return [self._choose(where, how_sure, size) for where, how_sure, size in parts]

    def _see(self, images: ImageList, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores (R, C + 1) and corrections (R, 4 C) of all regions; the network runs once a region."""
        wide = [_widened(b, self.context) for b in boxes]
        regions = roi_align(images.tensors, wide, self.region_px, sampling_ratio=2, aligned=True)
        seen = (
            self.backbone(regions)[-1].mean((2, 3))
            if len(regions)
            else regions.new_zeros(0, self.backbone.channels[-1])
        )
        return self.classify(seen), self.correct(seen)

    def _box_loss(self, corrections: Tensor, labels: Tensor, samples: Sequence[Sampled]) -> Tensor:
        """Smooth L1 of the corrections of regions on objects, for the object's class, over all regions."""
        wanted = torch.cat(self._coder.encode([s.truth for s in samples], [s.boxes for s in samples]))
        on = labels.nonzero()[:, 0]
        said = corrections.view(-1, self.num_classes, 4)[on, labels[on] - 1]
        return F.smooth_l1_loss(said, wanted[on], beta=1 / 9, reduction="sum") / len(labels)


class FastRcnn(BatchDetector):
    """Fast R-CNN: the backbone runs once an image, and regions are cut out of its features (row 185).

    Girshick 2015, with torchvision's `RoIHeads` on proposals from outside. Losses: `loss_classifier`, `loss_box_reg`.

    Args:
        num_classes: without the background.
        proposals: regions of an image; None: selective search.
        backbone: sees the image.
        stride: of the feature map from which regions are cut: 4, 8, 16, 32.
        pooling: "align" (bilinear at regular points, row 187) or "pool" (snapped to the grid, largest value, row 186).
        head_width: of the two layers that look at a region.
        regions_trained: of an image, drawn at random, up to a quarter of them on objects.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        proposals: Proposals | None = None,
        *,
        backbone: FeatureMaps | None = None,
        stride: Literal[4, 8, 16, 32] = 8,
        pooling: Literal["align", "pool"] = "align",
        head_width: int = 256,
        regions_trained: int = 64,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        max_detections: int = 100,
    ) -> None:
        super().__init__(num_classes)
        if stride not in STRIDES:
            raise UserError(f"FastRcnn stride: {stride} given, allowed: {', '.join(map(str, STRIDES))}")
        self.proposals = proposals or SelectiveSearch()
        self.backbone = backbone or FeatureMaps()
        self._level = STRIDES.index(stride)
        self.backbone.without_stages_beyond(self._level)
        channels = self.backbone.channels[self._level]
        self.regions: Any = RoIHeads(
            RegionPool(pooling, stride),
            TwoMLPHead(channels * RegionPool.SIDE**2, head_width),
            FastRCNNPredictor(head_width, num_classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=regions_trained,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
        )

    def encode(self, images: ImageList) -> Features:
        """The features of the whole images, and the proposals."""
        return {"features": self.backbone(images.tensors)[self._level], _PROPOSALS: self.proposals(images)}

    def parts_that_train(self) -> list[nn.Module]:
        """See `BatchDetector`."""
        return [self.regions]

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        targets = [{"boxes": each.boxes, "labels": each.labels + 1} for each in objects]
        shared = {"0": features["features"]}
        _, losses = self.regions(shared, boxes_of(features[_PROPOSALS]), images.image_sizes, targets)
        return dict(losses)

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        found, _ = self.regions({"0": features["features"]}, boxes_of(features[_PROPOSALS]), images.image_sizes)
        return [as_detections(each) for each in found]


def _widened(boxes: Tensor, share: float) -> Tensor:
    """Boxes with something around them."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * (share / 2)
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)
