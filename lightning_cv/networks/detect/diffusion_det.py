"""Boxes are drawn at random, and denoised until they lie on objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, generalized_box_iou, sigmoid_focal_loss

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.base import BatchDetector, Features
from lightning_cv.networks.detect.sampling import Choice
from lightning_cv.ops.assignment import cheapest_pairs
from lightning_cv.ops.box_diffusion import BoxDiffusion

_SIDE = 7  # of the features of a box
_LEVELS = ["0", "1", "2", "3"]
_FAR = math.log(1000.0 / 16)  # the largest change of a side, as in torchvision


class DiffusionDet(BatchDetector):
    """DiffusionDet: detection as denoising of boxes (Chen et al. 2023; row 198).

    In training the objects' boxes, filled up with random ones, are noised to a random time, and a cascade of heads
    says class and box of each, out of the features inside the noisy box. In scoring boxes start as noise and take a few
    steps of DDIM; boxes that nobody is sure of are drawn anew between steps, and what all steps found is put
    together. The draws of scoring are always the same.

    Losses over all heads, weights 2, 5 and 2 in them: `loss_focal`, `loss_bbox` (L1), `loss_giou`, for the pairs of
    boxes and objects that are cheapest by the same measures. The paper pairs several boxes with an object and makes the
    heads' layers out of the boxes; here it is one, and the layers are fixed.

    Args:
        num_classes: without background.
        pyramid: the backbone and its feature pyramid, with at least four levels.
        boxes: that are denoised, on each image.
        steps: of denoising in scoring.
        heads: of the cascade.
        width: of what is known of a box.
        scale: of the signal against the noise, see `BoxDiffusion`.
        score_threshold: detections below go.
        nms_threshold: of two detections of a class that overlap by more, the less sure one goes.
        max_detections: of an image.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        pyramid: Pyramid | None = None,
        *,
        boxes: int = 64,
        steps: int = 4,
        heads: int = 3,
        width: int = 128,
        scale: float = 2.0,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__(num_classes)
        if min(boxes, steps, heads) < 1 or width % 8:
            raise UserError(
                f"DiffusionDet: boxes {boxes}, steps {steps}, heads {heads}, width {width} given, allowed: 1 or more, "
                "and a width that 8 divides"
            )
        self.pyramid = pyramid or Pyramid(channels=64, extra="none")
        self.num_boxes = boxes
        self.steps = steps
        self.diffusion = BoxDiffusion(scale=scale)
        self.pool = MultiScaleRoIAlign(_LEVELS, _SIDE, sampling_ratio=2)
        self.time = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.heads = nn.ModuleList([_Head(self.pyramid.out_channels, width, num_classes) for _ in range(heads)])
        self._width = width
        self._choose = Choice(score_threshold, nms_threshold, max_detections)

    def encode(self, images: ImageList) -> Features:
        """The levels of the feature pyramid."""
        return self.pyramid(images.tensors)

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        device = images.tensors.device
        times = torch.randint(self.diffusion.num_times, (len(objects),), device=device)
        noisy = [
            self._noisy(truth.boxes, time, size)
            for truth, time, size in zip(objects, times, images.image_sizes, strict=True)
        ]
        said = self._cascade(images, features, noisy, times)
        count = max(1, sum(map(len, objects)))
        sums: dict[str, list[Tensor]] = {"loss_focal": [], "loss_bbox": [], "loss_giou": []}
        for logits, boxes in said:
            for parts in zip(logits, boxes, objects, images.image_sizes, strict=True):
                for name, value in _set_losses(*parts).items():
                    sums[name].append(value)
        return {name: torch.stack(values).sum() / count for name, values in sums.items()}

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """See `BatchDetector`."""
        device = images.tensors.device
        drawn = torch.randn(self.steps, self.num_boxes, 4, generator=torch.Generator().manual_seed(0)).to(device)
        signals = [drawn[0]] * len(images.image_sizes)
        times = torch.linspace(self.diffusion.num_times - 1, -1, self.steps + 1).long().tolist()
        found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in signals]
        for number, (time, next_time) in enumerate(pairwise(times)):
            noisy = [
                _in_pixels(self.diffusion.boxes_of(s), size)
                for s, size in zip(signals, images.image_sizes, strict=True)
            ]
            now = torch.full((len(noisy),), time, device=device)
            logits, boxes = self._cascade(images, features, noisy, now)[-1]
            for image, size in enumerate(images.image_sizes):
                scores = logits[image].float().sigmoid()
                found[image].append((boxes[image], scores))
                shares = _in_shares(clip_boxes_to_image(boxes[image], size), size)
                stepped = self.diffusion.step(signals[image], shares, time, next_time)
                sure = scores.max(1, keepdim=True).values >= 0.5
                # Boxes on nothing would stay there: they begin again.
                signals[image] = torch.where(sure, stepped, drawn[(number + 1) % self.steps])
        return [
            self._choose(torch.cat([b for b, _ in parts]), torch.cat([s for _, s in parts]), size)
            for parts, size in zip(found, images.image_sizes, strict=True)
        ]

    def _noisy(self, boxes: Tensor, time: Tensor, size: tuple[int, int]) -> Tensor:
        """(n, 4) corners in pixels: the objects' boxes, filled up with random ones, at a time."""
        shares = _in_shares(boxes, size)[: self.num_boxes]
        fill = torch.randn(self.num_boxes - len(shares), 4, device=boxes.device) / 6 + 0.5
        fill[:, 2:] = fill[:, 2:].clamp(min=1e-2)
        centred = torch.cat([fill[:, :2] - fill[:, 2:] / 2, fill[:, :2] + fill[:, 2:] / 2], dim=1)
        clean = torch.cat([shares, centred])
        noise = torch.randn_like(clean)
        return _in_pixels(self.diffusion.noised(clean, time, noise), size)

    def _cascade(
        self, images: ImageList, features: Features, boxes: list[Tensor], times: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """What each head says, logits (B, n, C) and corners (B, n, 4), out of the boxes of the one before."""
        moment = self.time(_waves(times, self._width))
        known: Tensor | None = None
        said = []
        for head in self.heads:
            inside = self.pool(features, boxes, images.image_sizes)
            known, logits, corrected = head(inside, torch.stack(boxes), moment, known)
            said.append((logits, corrected))
            boxes = list(corrected.detach())
        return said


class _Head(nn.Module):
    """Class and box out of the features inside a noisy box, the other boxes, and the time."""

    def __init__(self, channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * _SIDE**2, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.attend = nn.MultiheadAttention(width, 8, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.mix = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.moment = nn.Linear(width, 2 * width)
        self.classify = nn.Linear(width, num_classes)
        self.correct = nn.Linear(width, 4)
        nn.init.constant_(self.classify.bias, -math.log(99))  # every class begins with probability 0.01
        nn.init.normal_(self.correct.weight, std=0.001)
        nn.init.zeros_(self.correct.bias)
        self._coder = BoxCoder((2.0, 2.0, 1.0, 1.0), _FAR)

    def forward(
        self, inside: Tensor, boxes: Tensor, moment: Tensor, known: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.look(inside).view(*boxes.shape[:2], -1)
        x = seen if known is None else seen + known
        x = self.norms[0](x)
        x = self.norms[1](x + self.attend(x, x, x, need_weights=False)[0])
        x = self.norms[2](x + self.mix(x))
        scale, shift = self.moment(moment)[:, None].chunk(2, dim=-1)
        timed = x * (1 + scale) + shift
        corrections = self.correct(timed).float()
        corrected = self._coder.decode_single(corrections.flatten(0, 1), boxes.flatten(0, 1)).view_as(boxes)
        return x, self.classify(timed), corrected


def _set_losses(logits: Tensor, boxes: Tensor, truth: Objects, size: tuple[int, int]) -> dict[str, Tensor]:
    """Weighted sums over the boxes of an image: logits (n, C), corners (n, 4)."""
    logits, shares, wanted = logits.float(), _in_shares(boxes, size), _in_shares(truth.boxes, size)
    hot = torch.zeros_like(logits)
    with torch.no_grad():
        sure = logits.sigmoid()[:, truth.labels]
        cost = (
            2 * _focal_cost(sure) + 5 * torch.cdist(shares, wanted, p=1) - 2 * generalized_box_iou(boxes, truth.boxes)
        )
        rows, columns = cheapest_pairs(cost)
    hot[rows, truth.labels[columns]] = 1.0
    giou = generalized_box_iou(boxes[rows], truth.boxes[columns]).diagonal()
    return {
        "loss_focal": 2 * sigmoid_focal_loss(logits, hot, reduction="sum"),
        "loss_bbox": 5 * F.l1_loss(shares[rows], wanted[columns], reduction="sum"),
        "loss_giou": 2 * (1 - giou).sum(),
    }


def _focal_cost(sure: Tensor) -> Tensor:
    """What it costs to call an object's class, by the focal loss (alpha 0.25, gamma 2)."""
    positive = 0.25 * (1 - sure).square() * -(sure + 1e-8).log()
    return positive - 0.75 * sure.square() * -(1 - sure + 1e-8).log()


def _waves(times: Tensor, width: int) -> Tensor:
    """(B, width): sines and cosines of the times, of geometrically spaced wavelengths."""
    rates = torch.exp(torch.arange(width // 2, device=times.device) * (-math.log(10_000) / (width // 2 - 1)))
    angles = times[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _in_shares(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    return boxes / boxes.new_tensor([size[1], size[0], size[1], size[0]])


def _in_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    return boxes * boxes.new_tensor([size[1], size[0], size[1], size[0]])
