"""How do instances and classes of pixels become each other, and one picture in which every pixel has one meaning?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import masks_to_boxes

from lightning_cv.contracts import CROWD_SEGMENT, VOID, Objects, Panoptic, Pixels


def semantic_of_instances(masks: Tensor, labels: Tensor, *, other: int = VOID) -> Tensor:
    """The class of each pixel, of instances the surest first: where several lie, the surest one's (row 222).

    Args:
        masks: (N, H, W) bool.
        labels: (N,) int64.
        other: what pixels without any instance get.

    Returns:
        (H, W) int64.
    """
    classes = torch.full(masks.shape[1:], other, dtype=torch.int64, device=masks.device)
    for mask, label in zip(masks.flip(0), labels.flip(0), strict=True):
        classes[mask] = label
    return classes


def instances_of_semantic(classes: Tensor, label: int) -> Tensor:
    """(N, H, W) bool: the connected regions (by sides) of one class, the only instances that pixels' classes can tell.

    Two things that touch are one region: semantic output does not separate them (row 222).

    Args:
        classes: (H, W) int64.
        label: the class.
    """
    # Imported late: a quarter of a second.
    from scipy.ndimage import label as number_regions

    numbers, count = number_regions((classes == label).cpu().numpy())
    regions = torch.from_numpy(numbers).to(classes.device)
    return regions == torch.arange(1, count + 1, device=classes.device)[:, None, None]


def panoptic_of(pixels: Pixels, things: Sequence[bool]) -> Panoptic:
    """The truth as a network would say it; crowds, and what has no class, become `VOID`.

    Args:
        pixels: with segments.
        things: of each class, whether it is one.
    """
    assert pixels.segments is not None, "the pixels have segments"
    numbers = pixels.segments.clamp(min=VOID).long().where(pixels.classes >= 0, VOID)
    kept, places = numbers.unique(return_inverse=True)
    shift = int((kept == VOID).any())
    first = [int((numbers == number).flatten().byte().argmax()) for number in kept[shift:]]
    labels = pixels.classes.flatten()[first].long()
    is_thing = torch.tensor(things, device=labels.device)[labels]
    return Panoptic(places - shift, labels, is_thing)


def objects_of(pixels: Pixels, things: Sequence[bool]) -> Objects:
    """The instances of things, with masks and the smallest boxes around them; all of a class in a crowd are one.

    Args:
        pixels: with segments.
        things: of each class, whether it is one.
    """
    assert pixels.segments is not None, "the pixels have segments"
    classes, segments = pixels.classes.long(), pixels.segments.long()
    is_thing = torch.tensor([*things, False], device=classes.device)[classes.clamp(min=VOID)]
    masks, labels, crowd = [], [], []
    # A segment has one class; crowds of several classes share a number.
    for number, label in torch.stack([segments, classes])[:, is_thing & (segments != VOID)].unique(dim=1).T.tolist():
        masks.append((segments == number) & (classes == label))
        labels.append(label)
        crowd.append(number == CROWD_SEGMENT)
    stacked = torch.stack(masks) if masks else classes.new_zeros((0, *classes.shape), dtype=torch.bool)
    return Objects(
        boxes=masks_to_boxes(stacked) + stacked.new_tensor([0, 0, 1, 1], dtype=torch.float32),
        labels=classes.new_tensor(labels, dtype=torch.int64),
        crowd=stacked.new_tensor(crowd, dtype=torch.bool),
        areas=stacked.sum((1, 2)).float(),
        masks=stacked.to(torch.uint8),
    )


def resized(found: Panoptic, size: tuple[int, int]) -> Panoptic:
    """The segments at another size (H, W), each pixel that of the nearest one; some may then have no pixel."""
    if found.segments.shape == torch.Size(size):
        return found
    numbers = F.interpolate(found.segments[None, None].double(), size, mode="nearest-exact")[0, 0].long()
    return Panoptic(numbers, found.labels, found.is_thing)


def merge(
    masks: Tensor, labels: Tensor, classes: Tensor, *, stuff: Tensor, least_left: float = 0.5, least_px: int = 1
) -> Panoptic:
    """Instances laid over the classes of pixels (Kirillov et al. 2019, section 7; row 223).

    Instances come the surest first; each takes the pixels that are still free, unless less than `least_left` of its
    own are. What is left goes to the classes of stuff, each one segment.

    Args:
        masks: (N, H, W) bool, of things, the surest first.
        labels: (N,) int64 their classes.
        classes: (H, W) int64 class of each pixel.
        stuff: (C,) int64 the classes that are stuff.
        least_left: share of an instance's pixels, 0 to 1.
        least_px: smaller segments of stuff go.
    """
    segments = torch.full(classes.shape, VOID, dtype=torch.int64, device=classes.device)
    names: list[int] = []
    for mask, label in zip(masks, labels.tolist(), strict=True):
        free = mask & (segments == VOID)
        if free.any() and free.sum() >= least_left * mask.sum():
            segments[free] = len(names)
            names.append(label)
    num_things = len(names)
    for label in stuff.tolist():
        free = (classes == label) & (segments == VOID)
        if free.sum() >= max(1, least_px):
            segments[free] = len(names)
            names.append(label)
    is_thing = torch.arange(len(names), device=classes.device) < num_things
    return Panoptic(segments, torch.tensor(names, dtype=torch.int64, device=classes.device), is_thing)
