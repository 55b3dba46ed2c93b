"""What does a detector find on an image, its mirror image and other sizes of it together?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.contracts import Detections, Detector
from lightning_cv.errors import UserError
from lightning_cv.ops.objects import scaled
from lightning_cv.ops.suppress import Nms, Suppression


class TestTimeAugmentation:
    """Detections of several views of an image, brought back to the image and suppressed together (row 137).

    Masks and keypoints come from the view that found their box; left and right keypoints change places.

    Args:
        flip: look at the mirror image too.
        scales: look at the image at these multiples of its size; 1 is the image itself.
        suppress: what becomes of detections of several views; each class by itself.
        swaps: which keypoint each becomes in the mirror image, where there are keypoints.
    """

    __test__ = False  # no test, whatever pytest makes of its name

    def __init__(
        self,
        flip: bool = True,
        scales: Sequence[float] = (1.0,),
        *,
        suppress: Suppression | None = None,
        swaps: Sequence[int] | None = None,
    ) -> None:
        if not scales or min(scales) <= 0:
            raise UserError(f"TestTimeAugmentation scales: {list(scales)} given, allowed: numbers above 0")
        self.flip = flip
        self.scales = tuple(scales)
        self.suppress = suppress or Nms(0.5)
        self.swaps = None if swaps is None else list(swaps)

    def __call__(self, network: Detector, images: Tensor, sizes: Tensor) -> list[Detections]:
        """What is found on each image, in its pixels; see `Detector` for the arguments."""
        views: list[Sequence[Detections]] = []
        for view in self._views(images, sizes):
            found = network(view.images, view.sizes).detections
            views.append([self._back(each, view, row) for row, each in enumerate(found)])
        return [self.suppress(_together(of_image)) for of_image in zip(*views, strict=True)]

    def _views(self, images: Tensor, sizes: Tensor) -> Iterator[_View]:
        for scale in self.scales:
            resized, new_sizes = _resized(images, sizes, scale)
            factors = (new_sizes / sizes).tolist()
            yield _View(resized, new_sizes, factors, mirrored=False)
            if self.flip:
                mirrored = torch.zeros_like(resized)
                for place, image, (height, width) in zip(mirrored, resized, new_sizes.tolist(), strict=True):
                    place[:, :height, :width] = image[:, :height, :width].flip(-1)
                yield _View(mirrored, new_sizes, factors, mirrored=True)

    def _back(self, found: Detections, view: _View, row: int) -> Detections:
        """Detections on a view as they lie on the image."""
        y, x = view.factors[row]
        boxes, masks, keypoints = found.boxes, found.masks, found.keypoints
        if view.mirrored:
            width = float(view.sizes[row, 1])
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
            masks = None if masks is None else masks.flip(-1)
            if keypoints is not None:
                keypoints = torch.cat([width - keypoints[..., :1], keypoints[..., 1:]], dim=-1)
                keypoints = keypoints if self.swaps is None else keypoints[:, self.swaps]
        if masks is not None and (y, x) != (1.0, 1.0):
            size = [round(masks.shape[-2] / y), round(masks.shape[-1] / x)]
            masks = (
                F.interpolate(masks[:, None], size, mode="bilinear")[:, 0] if len(masks) else masks.new_zeros(0, *size)
            )
        moved = Detections(boxes, found.scores, found.labels, masks, keypoints, found.extras)
        return scaled(moved, x=1 / x, y=1 / y)


@dataclass(frozen=True)
class _View:
    """Images as they are looked at, and how many times as high and wide each is."""

    images: Tensor
    sizes: Tensor
    factors: list[list[float]]
    mirrored: bool


def _resized(images: Tensor, sizes: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Images at a multiple of their size, each by itself: padding does not bleed into it."""
    if scale == 1:
        return images, sizes
    new_sizes = (sizes * scale).round().long().clamp(min=1)
    height, width = new_sizes.max(0).values.tolist()
    resized = images.new_zeros(*images.shape[:2], height, width)
    for place, image, (h, w), (a, b) in zip(resized, images, sizes.tolist(), new_sizes.tolist(), strict=True):
        place[:, :a, :b] = F.interpolate(image[None, :, :h, :w], (a, b), mode="bilinear", antialias=True)[0]
    return resized, new_sizes


def _together(parts: Sequence[Detections]) -> Detections:
    masks = [part.masks for part in parts if part.masks is not None]
    keypoints = [part.keypoints for part in parts if part.keypoints is not None]
    joined = Detections(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat(masks) if masks else None,
        torch.cat(keypoints) if keypoints else None,
        {name: torch.cat([part.extras[name] for part in parts]) for name in parts[0].extras},
    )
    return joined.select(joined.scores.argsort(descending=True, stable=True))
