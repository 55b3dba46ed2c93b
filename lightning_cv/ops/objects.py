"""How do the objects of several images become tensors of a batch, and come back?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_cv.contracts import AREA, BOX, BOX_IMAGE, BOX_LABEL, CROWD, KEYPOINT, MASK, Batch, Detections, Objects


def no_objects(*, device: torch.device | None = None) -> Objects:
    """An image without objects."""
    empty = torch.zeros(0, device=device)
    return Objects(empty.view(0, 4), empty.long(), empty.bool(), empty)


def pack(objects: Sequence[Objects], size_px: tuple[int, int]) -> Batch:
    """The objects of B images in one batch.

    Args:
        objects: one an image; all with masks or none, all with keypoints or none.
        size_px: (H, W) of the padded images; masks are padded with 0.
    """
    batch = {
        BOX: torch.cat([o.boxes for o in objects]),
        BOX_LABEL: torch.cat([o.labels for o in objects]),
        CROWD: torch.cat([o.crowd for o in objects]),
        AREA: torch.cat([o.areas for o in objects]),
        BOX_IMAGE: torch.repeat_interleave(torch.tensor([len(o) for o in objects])),
    }
    masks = [o.masks for o in objects if o.masks is not None]
    if masks:
        padded = torch.zeros(sum(map(len, masks)), *size_px, dtype=torch.uint8)
        first = 0
        for part in masks:
            padded[first : first + len(part), : part.shape[1], : part.shape[2]] = part
            first += len(part)
        batch[MASK] = padded
    keypoints = [o.keypoints for o in objects if o.keypoints is not None]
    if keypoints:
        batch[KEYPOINT] = torch.cat(keypoints)
    return batch


def unpack(batch: Batch, sizes: Sequence[tuple[int, int]]) -> list[Objects]:
    """The objects of each image of a batch, masks without their padding.

    Args:
        batch: as `pack` made it.
        sizes: (height, width) of each image.
    """
    counts = torch.bincount(batch[BOX_IMAGE], minlength=len(sizes)).tolist()

    def parts(key: str) -> Sequence[Tensor | None]:
        return batch[key].split(counts) if key in batch else [None] * len(counts)

    masks = [
        None if part is None else part[:, :height, :width]
        for part, (height, width) in zip(parts(MASK), sizes, strict=True)
    ]
    columns = (parts(BOX), parts(BOX_LABEL), parts(CROWD), parts(AREA), masks, parts(KEYPOINT))
    return [Objects(*row) for row in zip(*columns, strict=True)]


def scaled_objects(objects: Objects, *, x: float, y: float) -> Objects:
    """The objects on the image made x times as wide and y times as high; masks and areas stay as they are."""
    keypoints = objects.keypoints
    if keypoints is not None:
        keypoints = keypoints * keypoints.new_tensor([x, y, 1.0])
    boxes = objects.boxes * objects.boxes.new_tensor([x, y, x, y])
    return Objects(boxes, objects.labels, objects.crowd, objects.areas, objects.masks, keypoints)


def scaled(detections: Detections, *, x: float, y: float) -> Detections:
    """The detections on the image made x times as wide and y times as high; masks stay as large as they are."""
    factors = detections.boxes.new_tensor([x, y, x, y])
    keypoints = detections.keypoints
    if keypoints is not None:
        keypoints = keypoints * keypoints.new_tensor([x, y, 1.0])
    return Detections(
        detections.boxes * factors,
        detections.scores,
        detections.labels,
        detections.masks,
        keypoints,
        detections.extras,
    )
