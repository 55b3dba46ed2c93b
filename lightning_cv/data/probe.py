"""What do the images of a split look like once transformed: their size, their mean and deviation?"""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, SIZE, DataInfo, Objects
from lightning_cv.data.normalization import MeanStd, measure
from lightning_cv.data.sampler import WholeBatches
from lightning_cv.data.seeding import borrowed_cpu_generator
from lightning_cv.data.splits import ResidentSplit, Split, UnreadableImageError, keypoints_of, pixels_of
from lightning_cv.data.workers import Sample, WorkerLoader, Workers, read_sample
from lightning_cv.errors import DataError, UserError

MAX_MEASURED = 10_000  # images read from files; the mean of so many is known to a hundredth of a pixel's deviation
_CHUNK = 512  # images counted at a time


def describe(split: Split, transform: nn.Module | None) -> DataInfo:
    """What a split publishes, by its first image that can be read; mean 0 and std 1 until they are known.

    Raises:
        UserError: no image can be read, or the transform fails.
    """
    with borrowed_cpu_generator():
        sample = _first_sample(split, transform)
    channels, height, width = sample.image.shape
    target = sample.target
    return DataInfo(
        class_names=split.class_names,
        channels=channels,
        size_px=(height, width),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        multilabel=isinstance(target, Tensor) and target.ndim == 1,
        objects=isinstance(target, Objects),
        masks=isinstance(target, Objects) and target.masks is not None,
        keypoints=keypoints_of(split),
        pixels=pixels_of(split),
    )


def measure_split(
    split: Split,
    transform: nn.Module | None,
    *,
    workers: Workers,
    seed: int,
    on_corrupt: Literal["error", "skip"],
) -> MeanStd:
    """Statistics of the channels over a split, un-augmented.

    Over all its images where they are held in memory, or are at most `MAX_MEASURED`; else over that many,
    drawn by `seed`.

    Raises:
        UserError: an image that cannot be read, unless such images are left out.
    """
    if isinstance(split, ResidentSplit) and transform is None:
        return measure(split.images.split(_CHUNK))
    sampler = _Sample(split, seed)
    loader = WorkerLoader(split, sampler, transform=transform, seed=seed, workers=workers, on_corrupt=on_corrupt)
    return measure(_images(loader))


def _first_sample(split: Split, transform: nn.Module | None) -> Sample:
    first_error: UnreadableImageError | None = None
    for index in range(len(split)):
        try:
            return read_sample(split, index, transform)
        except UnreadableImageError as error:
            first_error = first_error or error
    empty = "data.init_args: no images are left for this part, see val_fraction and test_fraction"
    if first_error is not None:
        raise DataError(f"{first_error}; nor can any other image of its split")
    raise UserError(empty)


class _Sample(WholeBatches):
    """Some samples of a split, all of them on every device."""

    def __init__(self, split: Split, seed: int) -> None:
        super().__init__(min(len(split), MAX_MEASURED), batch_size=64)
        self._seed = seed
        self._total = len(split)

    def order(self) -> Tensor:
        """The first samples of a permutation drawn from the seed."""
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randperm(self._total, generator=generator)[: self.num_samples]


def _images(loader: WorkerLoader) -> Iterator[Tensor]:
    for batch in loader:
        if SIZE not in batch:
            yield batch[IMAGE]
            continue
        for image, (height, width) in zip(batch[IMAGE], batch[SIZE].tolist(), strict=True):
            yield image[None, :, :height, :width]  # padding is no part of an image
