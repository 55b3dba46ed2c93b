"""RetinaNet, FCOS and SSD: every place of every feature map says at once what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, ssd300_vgg16
from torchvision.models.detection import RetinaNet as TorchvisionRetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import box_iou

from lightning_cv.contracts import Detections, Objects
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.base import Features
from lightning_cv.networks.detect.of_torchvision import TorchvisionDetector, as_detections
from lightning_cv.networks.detect.two_stage import make_anchors

_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # of the anchors of a level (Lin et al. 2017b, section 4)


class _Levelled(TorchvisionDetector):
    """What RetinaNet and FCOS share: their outputs are divided by level before detections are chosen."""

    def _outputs(self, images: ImageList, features: Features) -> tuple[dict[str, Tensor], list[Tensor], list[int]]:
        """What the head says (B, places, ...), the anchors of each image, and how many a level has."""
        levels = list(features.values())
        said = self.model.head(levels)
        anchors = self.model.anchor_generator(images, levels)
        places = [level.shape[-2] * level.shape[-1] for level in levels]
        each = said["cls_logits"].shape[1] // sum(places)
        return said, anchors, [count * each for count in places]

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        said, anchors, counts = self._outputs(images, features)
        by_level = {name: list(values.split(counts, dim=1)) for name, values in said.items()}
        divided = [list(of_image.split(counts)) for of_image in anchors]
        found = self.model.postprocess_detections(by_level, divided, images.image_sizes)
        return [as_detections(each) for each in found]


class RetinaNet(_Levelled):
    """RetinaNet: anchors at every place, focal loss (Lin et al. 2017). Losses: `classification`, `bbox_regression`.

    Args:
        num_classes: without the background.
        pyramid: the backbone and its levels; published: from stride 8, with two further convolutions.
        anchor_sizes: sides of the smallest anchors in pixels, one a level; there are two more at 2^(1/3), 2^(2/3).
        aspect_ratios: heights over widths of the anchors at every place.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.

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
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 300,
    ) -> None:
        backbone = pyramid or Pyramid(first_stride=8, extra="convolutions")
        make_anchors(anchor_sizes, aspect_ratios, backbone)
        sizes = tuple(tuple(int(size * scale) for scale in _SCALES) for size in anchor_sizes)
        model = TorchvisionRetinaNet(
            backbone,
            num_classes + 1,
            anchor_generator=AnchorGenerator(sizes, (tuple(aspect_ratios),) * len(sizes)),
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
        )
        super().__init__(model, num_classes)

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        targets = self.targets(objects)
        said, anchors, _ = self._outputs(images, features)
        return dict(self.model.compute_loss(targets, said, anchors))


class Fcos(_Levelled):
    """FCOS: every place inside a box says how far its sides are, without anchors (Tian et al. 2019).

    Losses: `classification`, `bbox_regression`, `bbox_ctrness`. A level answers for objects whose farthest side is
    between four and eight times its stride from the place.

    Args:
        num_classes: without the background.
        pyramid: the backbone and its levels; published: from stride 8, with two further convolutions.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
        center_radius: only places so near to an object's middle answer for it, in strides.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        pyramid: Pyramid | None = None,
        *,
        score_threshold: float = 0.2,
        nms_threshold: float = 0.6,
        max_detections: int = 100,
        center_radius: float = 1.5,
    ) -> None:
        backbone = pyramid or Pyramid(first_stride=8, extra="convolutions")
        sizes = tuple((stride,) for stride in backbone.strides)
        model = FCOS(
            backbone,
            num_classes + 1,
            anchor_generator=AnchorGenerator(sizes, ((1.0,),) * len(sizes)),
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
            center_sampling_radius=center_radius,
        )
        super().__init__(model, num_classes)

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        targets = self.targets(objects)
        said, anchors, counts = self._outputs(images, features)
        return dict(self.model.compute_loss(targets, said, anchors, counts))


class Ssd(TorchvisionDetector):
    """SSD: anchors of several maps are classified as a class or background (Liu et al. 2016; row 192).

    Losses: `classification`, `bbox_regression`. With `pyramid: null` it is SSD300 with VGG16, for images of 300 x 300
    pixels: 8,732 anchors.

    Args:
        num_classes: without the background.
        pyramid: the backbone and its levels; None: that of the paper.
        weights: of VGG16 where there is no pyramid: `IMAGENET1K_FEATURES`, for images of standard deviation 1/255,
            which are downloaded; None: drawn.
        anchor_shares: sides of the anchors of each level, as shares of the image, and one more behind the last;
            only with a pyramid.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 300, 300)

    def __init__(
        self,
        num_classes: int = 10,
        pyramid: Pyramid | None = None,
        *,
        weights: str | None = None,
        anchor_shares: Sequence[float] | None = None,
        score_threshold: float = 0.01,
        nms_threshold: float = 0.45,
        max_detections: int = 200,
    ) -> None:
        chosen = {
            "score_thresh": score_threshold,
            "nms_thresh": nms_threshold,
            "detections_per_img": max_detections,
        }
        if pyramid is None:
            model: nn.Module = ssd300_vgg16(
                weights=None, weights_backbone=weights, num_classes=num_classes + 1, **chosen
            )
        else:
            levels = len(pyramid.strides)
            boxes = DefaultBoxGenerator(
                [[2.0]] * levels, scales=list(anchor_shares) if anchor_shares else None, steps=list(pyramid.strides)
            )
            model = SSD(
                pyramid,
                boxes,
                size=(0, 0),
                num_classes=num_classes + 1,
                head=_ssd_head(pyramid, boxes, num_classes + 1),
                **chosen,
            )
        super().__init__(model, num_classes)

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        targets = self.targets(objects)
        said, anchors = self._outputs(images, features)
        matched = [
            self.model.proposal_matcher(box_iou(target["boxes"], of_image))
            if len(target["boxes"])
            else torch.full((len(of_image),), -1, device=of_image.device)
            for target, of_image in zip(targets, anchors, strict=True)
        ]
        return dict(self.model.compute_loss(targets, said, anchors, matched))

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        said, anchors = self._outputs(images, features)
        found = self.model.postprocess_detections(said, anchors, images.image_sizes)
        return [as_detections(each) for each in found]

    def _outputs(self, images: ImageList, features: Features) -> tuple[dict[str, Tensor], list[Tensor]]:
        levels = list(features.values())
        return self.model.head(levels), self.model.anchor_generator(images, levels)


def _ssd_head(pyramid: Pyramid, boxes: DefaultBoxGenerator, num_classes: int) -> nn.Module:
    channels = [pyramid.out_channels] * len(pyramid.strides)
    return SSDHead(channels, boxes.num_anchors_per_location(), num_classes)
