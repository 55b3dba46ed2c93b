"""Faster R-CNN, Mask R-CNN and Keypoint R-CNN: regions are proposed, and looked at one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.base import Features
from lightning_cv.networks.detect.of_torchvision import TorchvisionDetector, as_detections
from lightning_cv.networks.detect.region_head import RegionHead, Regions, on_objects

_REGION_PX = 7  # side of the features of a region
_REGIONS_TRAINED = 64  # of an image, by each further head
_LEVELS = ["0", "1", "2", "3"]  # of the pyramid, from which regions are cut


class FasterRcnn(TorchvisionDetector):
    """Faster R-CNN with a feature pyramid (Ren et al. 2015; rows 188, 189, 190, 191, 194).

    Four losses: `loss_objectness` and `loss_rpn_box_reg` of the region proposals, `loss_classifier` and `loss_box_reg`
    of the boxes; one more for each further head.

    Args:
        num_classes: without the background.
        pyramid: the backbone and its feature pyramid, with at least four levels.
        anchor_sizes: sides of the anchors in pixels, one a level.
        aspect_ratios: heights over widths of the anchors at every place.
        head_width: of the two layers that look at a region.
        proposals: how many regions of an image are proposed, at most: in training and in scoring.
        regions_trained: of the proposals of an image, drawn at random, up to a quarter of them on objects.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes; 1: none goes.
        max_detections: of an image.
        heads: further heads by name, see `RegionHead`.

    Raises:
        UserError: not one anchor size a level.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        pyramid: Pyramid | None = None,
        *,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        head_width: int = 1024,
        proposals: tuple[int, int] = (2000, 1000),
        regions_trained: int = 512,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
        heads: Mapping[str, RegionHead] | None = None,
    ) -> None:
        backbone = pyramid or Pyramid()
        anchors = make_anchors(anchor_sizes, aspect_ratios, backbone)
        channels = backbone.out_channels
        model = FasterRCNN(
            backbone,
            rpn_anchor_generator=anchors,
            rpn_pre_nms_top_n_train=proposals[0],
            rpn_post_nms_top_n_train=proposals[0],
            rpn_pre_nms_top_n_test=proposals[1],
            rpn_post_nms_top_n_test=proposals[1],
            box_roi_pool=MultiScaleRoIAlign(_LEVELS, _REGION_PX, sampling_ratio=2),
            box_head=TwoMLPHead(channels * _REGION_PX**2, head_width),
            box_predictor=FastRCNNPredictor(head_width, num_classes + 1),
            box_batch_size_per_image=regions_trained,
            box_score_thresh=score_threshold,
            box_nms_thresh=nms_threshold,
            box_detections_per_img=max_detections,
        )
        super().__init__(model, num_classes)
        chosen = dict(heads or {})
        for head in chosen.values():
            head.build(channels)
        self.heads = nn.ModuleDict(chosen)

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        targets = self.targets(objects)
        proposals, of_proposals = self.model.rpn(images, features, targets)
        _, of_boxes = self.model.roi_heads(features, proposals, images.image_sizes, targets)
        return {**of_proposals, **of_boxes, **self._further_losses(images, features, proposals, objects)}

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        proposals, _ = self.model.rpn(images, features)
        found, _ = self.model.roi_heads(features, proposals, images.image_sizes)
        found = self.model.transform.postprocess(found, images.image_sizes, images.image_sizes)
        extras: dict[str, Sequence[Tensor]] = {}
        if self.heads:
            boxes = [each["boxes"] for each in found]
            regions = self._regions(images, features, boxes)
            counts = [len(b) for b in boxes]
            extras = {name: head(regions).split(counts) for name, head in self._named_heads()}
        return [
            as_detections(each, {name: said[number] for name, said in extras.items()})
            for number, each in enumerate(found)
        ]

    def _further_losses(
        self, images: ImageList, features: Features, proposals: list[Tensor], objects: Sequence[Objects]
    ) -> dict[str, Tensor]:
        if not self.heads:
            return {}
        matched = on_objects(proposals, objects, most=_REGIONS_TRAINED)
        regions = self._regions(images, features, [each.boxes for each in matched])
        truth = _joined([each.truth for each in matched])
        return {name: head.loss(head(regions), regions, truth) for name, head in self._named_heads()}

    def _named_heads(self) -> list[tuple[str, RegionHead]]:
        return [(name, cast(RegionHead, head)) for name, head in self.heads.items()]

    def _regions(self, images: ImageList, features: Features, boxes: list[Tensor]) -> Regions:
        cut_out = self.model.roi_heads.box_roi_pool(features, boxes, images.image_sizes)
        counts = torch.tensor([len(b) for b in boxes], device=cut_out.device)
        return Regions(cut_out, torch.cat(boxes), torch.repeat_interleave(counts))


class MaskRcnn(FasterRcnn):
    """Mask R-CNN: Faster R-CNN with a mask for each box (He et al. 2017; row 221). One more loss: `loss_mask`.

    Args:
        num_classes: see `FasterRcnn`.
        pyramid: see `FasterRcnn`.
        mask_layers: channels of the convolutions that look at a region of 14 x 14 places.
        shared: what every two-stage detector takes, see `FasterRcnn`.
    """

    def __init__(
        self,
        num_classes: int = 10,
        pyramid: Pyramid | None = None,
        *,
        mask_layers: Sequence[int] = (256, 256, 256, 256),
        **shared: Any,
    ) -> None:
        super().__init__(num_classes, pyramid, **shared)
        self.finds = ("mask",)
        rois = self.model.roi_heads
        rois.mask_roi_pool = MultiScaleRoIAlign(_LEVELS, 14, sampling_ratio=2)
        rois.mask_head = MaskRCNNHeads(self.model.backbone.out_channels, list(mask_layers), 1)
        rois.mask_predictor = MaskRCNNPredictor(mask_layers[-1], mask_layers[-1], num_classes + 1)


class KeypointRcnn(FasterRcnn):
    """Keypoint R-CNN: Faster R-CNN with a heat map of 56 x 56 places for each keypoint of a box (row 224).

    He et al. 2017, section 5: the loss `loss_keypoint` is the cross-entropy over the places, ln 56² at first.

    Args:
        num_classes: see `FasterRcnn`.
        pyramid: see `FasterRcnn`.
        num_keypoints: K, that every object has.
        keypoint_layers: channels of the convolutions that look at a region of 14 x 14 places.
        shared: what every two-stage detector takes, see `FasterRcnn`.
    """

    def __init__(
        self,
        num_classes: int = 1,
        pyramid: Pyramid | None = None,
        *,
        num_keypoints: int = 17,
        keypoint_layers: Sequence[int] = (512,) * 8,
        **shared: Any,
    ) -> None:
        super().__init__(num_classes, pyramid, **shared)
        self.finds = ("keypoint",)
        self.num_keypoints = num_keypoints
        rois = self.model.roi_heads
        rois.keypoint_roi_pool = MultiScaleRoIAlign(_LEVELS, 14, sampling_ratio=2)
        rois.keypoint_head = KeypointRCNNHeads(self.model.backbone.out_channels, tuple(keypoint_layers))
        rois.keypoint_predictor = KeypointRCNNPredictor(keypoint_layers[-1], num_keypoints)


def make_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float], pyramid: Pyramid) -> AnchorGenerator:
    """Anchors of one size and several shapes at every place of a level (row 190).

    Raises:
        UserError: not one size a level.
    """
    if len(sizes) != len(pyramid.strides):
        raise UserError(
            f"anchor_sizes: {list(sizes)} given, allowed: {len(pyramid.strides)} numbers, one a level of the pyramid "
            f"(strides {list(pyramid.strides)})"
        )
    return AnchorGenerator(tuple((size,) for size in sizes), (tuple(aspect_ratios),) * len(sizes))


def _joined(parts: Sequence[Objects]) -> Objects:
    """Objects of several images behind each other, without masks, whose sizes differ."""
    points = [part.keypoints for part in parts if part.keypoints is not None]
    return Objects(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.crowd for part in parts]),
        torch.cat([part.areas for part in parts]),
        keypoints=torch.cat(points) if points else None,
    )
