"""How does a transform move boxes, masks and keypoints together with their image?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform_functions

from lightning_cv.contracts import Objects
from lightning_cv.errors import UserError

SMALLEST_PX = 1.0  # what a transform leaves of a box must be wider and higher than this
_SWAPS = "swaps"


def transform_with_objects(
    transform: nn.Module, image: Tensor, objects: Objects, swaps: tuple[int, ...] | None
) -> tuple[Tensor, Objects]:
    """Apply a torchvision v2 transform to an image and its objects.

    Boxes are cut off at the image's border; an object of which less than `SMALLEST_PX` is left goes. Keypoints outside
    of the image become unknown.

    Args:
        transform: takes `tv_tensors`.
        image: (C, H, W) uint8.
        objects: on it.
        swaps: of `KeypointSet`, where there are keypoints.

    Raises:
        UserError: it would mirror keypoints without changing left and right.
    """
    size = (image.shape[-2], image.shape[-1])
    target: dict[str, Any] = {
        "boxes": tv_tensors.BoundingBoxes(objects.boxes, format="XYXY", canvas_size=size),
        "row": torch.arange(len(objects)),
    }
    if objects.masks is not None:
        target["masks"] = tv_tensors.Mask(objects.masks)
    if objects.keypoints is not None:
        _refuse_flips(transform)
        target["points"] = tv_tensors.KeyPoints(objects.keypoints[..., :2], canvas_size=size)
        target["known"] = objects.keypoints[..., 2]
        target[_SWAPS] = torch.tensor(swaps)
    moved, target = transform(tv_tensors.Image(image), target)
    return moved.as_subclass(Tensor), _objects(target, objects, (moved.shape[-2], moved.shape[-1]))


class RandomObjectFlip(v2.Transform):
    """Mirror an image left to right with its boxes, masks and keypoints; left and right keypoints change places.

    Where keypoints are continuous coordinates, x becomes W - x, as for boxes. (torchvision's own flip moves them to
    W - 1 - x and leaves left as left.)

    Args:
        p: probability, in [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise UserError(f"RandomObjectFlip p: {p} given, allowed: 0 to 1")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """Take an image alone, or an image and the dictionary of its objects."""
        image = inputs[0]
        if torch.rand(()) >= self.p:
            return inputs if len(inputs) > 1 else image
        flipped = transform_functions.horizontal_flip(image)
        if len(inputs) == 1:
            return flipped
        target = dict(inputs[1])
        for key in ("boxes", "masks"):
            if key in target:
                target[key] = transform_functions.horizontal_flip(target[key])
        if "points" in target:
            points = target["points"].as_subclass(Tensor).clone()
            points[..., 0] = image.shape[-1] - points[..., 0]
            order = target[_SWAPS]
            target["points"] = tv_tensors.wrap(points[:, order], like=target["points"])
            target["known"] = target["known"][:, order]
        return flipped, target


def _objects(target: dict[str, Any], before: Objects, size: tuple[int, int]) -> Objects:
    """What a transform left of the objects; it may have dropped some."""
    boxes = target["boxes"].as_subclass(Tensor).clone()
    height, width = size
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    kept = ((boxes[:, 2:] - boxes[:, :2]) > SMALLEST_PX).all(1)
    rows = target["row"]
    keypoints = None
    if "points" in target:
        points = target["points"].as_subclass(Tensor)
        inside = ((points >= 0) & (points <= points.new_tensor([width, height]))).all(-1)
        keypoints = torch.cat([points, (target["known"] * inside)[..., None]], dim=-1)
    masks = target["masks"].as_subclass(Tensor) if "masks" in target else None
    return Objects(boxes, before.labels[rows], before.crowd[rows], before.areas[rows], masks, keypoints).select(kept)


def _refuse_flips(transform: nn.Module) -> None:
    if isinstance(transform, v2.RandomHorizontalFlip):
        raise UserError(
            "data.init_args: RandomHorizontalFlip of torchvision leaves a left keypoint a left one; "
            "allowed: lightning_cv.data.RandomObjectFlip"
        )
    # Those of Compose and its like are no sub-modules.
    for part in getattr(transform, "transforms", transform.children()):
        _refuse_flips(part)
