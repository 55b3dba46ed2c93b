"""How do instances and classes of pixels become each other, and one picture in which every pixel has one meaning?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

VOID = -1  # a pixel that belongs to nothing


@dataclass(frozen=True)
class Panoptic:
    """Every pixel belongs to one segment, or to none.

    Args:
        segments: (H, W) int64 number of each pixel's segment, or `VOID`.
        labels: (S,) int64 class of each segment.
        is_thing: (S,) bool: an instance of a thing; else all pixels of a class of stuff.
    """

    segments: Tensor
    labels: Tensor
    is_thing: Tensor

    @property
    def classes(self) -> Tensor:
        """(H, W) int64 class of each pixel, or `VOID`: the semantic output (row 222)."""
        return with_void(self.labels, self.segments)


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


def with_void(values: Tensor, segments: Tensor) -> Tensor:
    """(H, W): the value of each pixel's segment, `VOID` where it has none."""
    if not len(values):
        return torch.full_like(segments, VOID)
    return torch.where(segments == VOID, VOID, values[segments.clamp(min=0)])
