"""Panoptic FPN: Mask R-CNN for things and a second head for stuff, on one feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList

from lightning_cv.contracts import IGNORED, Detections, Objects, Panoptic, Pixels
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.base import as_in_training, own_draws
from lightning_cv.networks.detect.two_stage import MaskRcnn
from lightning_cv.networks.segment.panoptic_base import BatchPanoptic, Features, Ranges
from lightning_cv.ops.image_sizes import Size
from lightning_cv.ops.panoptic import merge, objects_of

_OF_GROUP = 4  # channels that are normalized together: 32 groups of the paper's 128
_LEVELS = ("0", "1", "2", "3")  # of the pyramid, that the head for stuff sees


class PanopticFpn(BatchPanoptic):
    """Panoptic FPN (Kirillov et al. 2019b; rows 222, 223).

    The head for stuff scores each class of stuff, and one more for all things; its maps of the four levels are
    enlarged to the finest and added. Instances and stuff are merged as `ops.panoptic.merge` says, so that every pixel
    has at most one segment. Losses: the five of Mask R-CNN, and `loss_semantic`.

    Args:
        num_classes: of things and stuff.
        things: which class indices are things: from the first of each pair to before the second.
        pyramid: the backbone and its feature pyramid.
        anchor_sizes: see `MaskRcnn`.
        mask_layers: see `MaskRcnn`.
        head_width: see `MaskRcnn`.
        proposals: see `MaskRcnn`.
        regions_trained: see `MaskRcnn`.
        stuff_width: channels of the head for stuff, a multiple of 4.
        score_threshold: instances below are left out of the merge.
        least_left: an instance of which a smaller share is left by surer ones goes, 0 to 1.
        least_stuff_px: segments of stuff with fewer pixels go.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 12,
        things: Ranges = ((2, 12),),
        pyramid: Pyramid | None = None,
        *,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        mask_layers: Sequence[int] = (256, 256, 256, 256),
        head_width: int = 1024,
        proposals: tuple[int, int] = (2000, 1000),
        regions_trained: int = 512,
        stuff_width: int = 128,
        score_threshold: float = 0.5,
        least_left: float = 0.5,
        least_stuff_px: int = 64,
    ) -> None:
        super().__init__(num_classes, things)
        if stuff_width < _OF_GROUP or stuff_width % _OF_GROUP:
            raise UserError(f"PanopticFpn stuff_width: {stuff_width} given, allowed: multiples of {_OF_GROUP}")
        backbone = pyramid or Pyramid()
        self._of_thing = [label for label, is_thing in enumerate(self.things) if is_thing]
        self._of_stuff = [label for label, is_thing in enumerate(self.things) if not is_thing]
        self.instances = MaskRcnn(
            len(self._of_thing),
            backbone,
            anchor_sizes=anchor_sizes,
            mask_layers=mask_layers,
            head_width=head_width,
            proposals=proposals,
            regions_trained=regions_trained,
            score_threshold=score_threshold,
        )
        strides = backbone.strides[: len(_LEVELS)]
        self.stuff = nn.ModuleList(
            [_to_finest(backbone.out_channels, stuff_width, int(math.log2(stride // strides[0]))) for stride in strides]
        )
        self.score_stuff = nn.Conv2d(stuff_width, len(self._of_stuff) + 1, 1)
        self._merging = (least_left, least_stuff_px)

    def encode(self, images: Tensor, sizes: Sequence[Size]) -> Features:
        """The levels of the pyramid."""
        return self.instances.encode(ImageList(images, list(sizes)))

    def losses(
        self, images: Tensor, sizes: Sequence[Size], features: Features, truth: Sequence[Pixels]
    ) -> dict[str, Tensor]:
        """See `BatchPanoptic`."""
        objects = [self._objects(each) for each in truth]
        wanted = torch.stack([self._stuff_of(each) for each in truth])
        scores = self._stuff_scores(features, images)
        total = F.cross_entropy(scores, wanted, ignore_index=IGNORED, reduction="sum")
        semantic = total / (wanted != IGNORED).sum().clamp(min=1)
        return {**self.instances.losses(ImageList(images, list(sizes)), features, objects), "loss_semantic": semantic}

    def losses_of_one(
        self, images: Tensor, sizes: Sequence[Size], features: Features, truth: Sequence[Pixels]
    ) -> dict[str, Tensor]:
        """As in training, with draws of regions that repeat."""
        with as_in_training(self.instances.parts_that_train()), own_draws(images.device):
            return self.losses(images, sizes, features, truth)

    def merge(self, images: Tensor, sizes: Sequence[Size], features: Features) -> list[Panoptic]:
        """See `BatchPanoptic`."""
        found = self.instances.detect(ImageList(images, list(sizes)), features)
        scores = self._stuff_scores(features, images)
        pairs = zip(found, scores, sizes, strict=True)
        return [self._merged(each, own[:, :height, :width]) for each, own, (height, width) in pairs]

    def _merged(self, found: Detections, scores: Tensor) -> Panoptic:
        least_left, least_px = self._merging
        stuff = torch.tensor([*self._of_stuff, -1], device=scores.device)
        assert found.masks is not None
        return merge(
            found.masks > 0.5,
            torch.tensor(self._of_thing, device=scores.device)[found.labels],
            stuff[scores.argmax(0)],
            stuff=stuff[:-1],
            least_left=least_left,
            least_px=least_px,
        )

    def _stuff_scores(self, features: Features, images: Tensor) -> Tensor:
        """(B, stuff + 1, H, W) float32."""
        finest = sum(branch(features[name]) for branch, name in zip(self.stuff, _LEVELS, strict=True))
        scores = self.score_stuff(finest).float()
        return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)

    def _objects(self, truth: Pixels) -> Objects:
        """The things that are to be found, labelled among things."""
        objects = objects_of(truth, self.things)
        places = torch.full((self.num_classes,), -1, device=objects.labels.device)
        places[self._of_thing] = torch.arange(len(self._of_thing), device=places.device)
        kept = objects.select(~objects.crowd)
        return Objects(kept.boxes, places[kept.labels], kept.crowd, kept.areas, kept.masks)

    def _stuff_of(self, truth: Pixels) -> Tensor:
        """(H, W) int64: which stuff each pixel is, all things one more, or `IGNORED`."""
        classes = truth.classes.long()
        places = torch.full((self.num_classes,), len(self._of_stuff), device=classes.device)
        places[self._of_stuff] = torch.arange(len(self._of_stuff), device=places.device)
        return places[classes.clamp(min=0)].where(classes >= 0, IGNORED)


def _to_finest(channels: int, width: int, doublings: int) -> nn.Sequential:
    """Convolutions, each followed by an enlargement; at the finest level one convolution alone."""
    layers: list[nn.Module] = []
    for number in range(max(1, doublings)):
        layers += [
            nn.Conv2d(channels if number == 0 else width, width, 3, padding=1, bias=False),
            nn.GroupNorm(width // _OF_GROUP, width),
            nn.ReLU(inplace=True),
        ]
        if doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
