"""How do MixUp and CutMix of torchvision blend training batches with draws that repeat?"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torchvision.transforms import v2

from lightning_cv.data.seeding import borrowed_cpu_generator
from lightning_cv.errors import UserError

Mixing = v2.MixUp | v2.CutMix


def is_mixing(transform: nn.Module) -> bool:
    """Whether it is MixUp or CutMix, or `v2.RandomChoice` or `v2.RandomApply` of nothing else."""
    if isinstance(transform, v2.RandomChoice | v2.RandomApply):
        return all(is_mixing(part) for part in transform.transforms)
    return isinstance(transform, Mixing)


def mix(transform: nn.Module, images: Tensor, labels: Tensor, *, key: int) -> tuple[Tensor, Tensor]:
    """Blend each sample with its neighbour in the batch (row 42), with draws that come from `key`.

    Args:
        transform: see `is_mixing`.
        images: (B, C, H, W) float32.
        labels: (B,) int64, or (B, classes) float32.
        key: seeds the draws.

    Returns:
        Images (B, C, H, W) and labels (B, classes) float32 whose rows keep their sums. `v2.RandomApply` may
        return both unchanged.
    """
    with borrowed_cpu_generator() as generator:
        generator.manual_seed(key)
        mixed: tuple[Tensor, Tensor] = transform(images, labels)
    return mixed


def tell_num_classes(transform: nn.Module, num_classes: int) -> None:
    """Give every MixUp and CutMix inside `transform` the number of classes, which it needs for class indices.

    Raises:
        UserError: the recipe states another number.
    """
    parts = list(_leaves(transform))
    for part in parts:
        if part.num_classes not in (None, num_classes):
            raise UserError(
                f"data.init_args.batch_transforms: {type(part).__name__} has num_classes {part.num_classes}, "
                f"allowed: {num_classes}, as the data has (or leave it out)"
            )
    for part in parts:
        part.num_classes = num_classes


def _leaves(transform: nn.Module) -> Iterator[Any]:
    for part in getattr(transform, "transforms", [transform]):
        if part is transform:
            yield part
        else:
            yield from _leaves(part)
