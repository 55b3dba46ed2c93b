"""How are batches read and transformed sample by sample, the same for any number of workers?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_cv.contracts import (
    CLASSES,
    IGNORED,
    IMAGE,
    INDEX,
    LABEL,
    SEGMENT,
    SIZE,
    SOURCE_SIZE,
    VOID,
    Batch,
    Objects,
    Pixels,
)
from lightning_cv.data.faults import Fault, FaultReport
from lightning_cv.data.objects import transform_with_objects
from lightning_cv.data.pixels import transform_with_pixels
from lightning_cv.data.sampler import EpochSampler, weighted
from lightning_cv.data.seeding import borrowed_cpu_generator
from lightning_cv.data.splits import Split, Target, UnreadableImageError, keypoints_of
from lightning_cv.errors import UserError
from lightning_cv.ops.counter_random import sample_keys
from lightning_cv.ops.objects import pack

Request = tuple[Tensor, list[int]]  # (b,) indices, and a key for each


class ReadBatch(NamedTuple):
    """What a worker sends back: the batch, and what could not be read (a tuple, so that torch can pin it)."""

    batch: Batch
    faults: list[Fault]


class WorkerLoader:
    """Reads a batch in one worker: each image, its transform, and the stack of them.

    Each sample's transform draws from torch's CPU generator, seeded with (seed, epoch, index), so that
    neither the number of workers nor the number of devices changes what comes out. Lightning leaves this
    loader alone, since it is no torch `DataLoader`.

    Args:
        split: what is read.
        batch_sampler: decides the batches of this device.
        transform: applied to each uint8 image (C, H, W) with its objects or pixels; gives uint8 (C, H', W'),
            one size for all unless `workers.pads`.
        seed: of the transform's draws.
        workers: how many processes read, whether into page-locked memory, and whether images may differ in size.
        on_corrupt: whether an image that cannot be read ends the run or is left out.
    """

    def __init__(
        self,
        split: Split,
        batch_sampler: EpochSampler,
        *,
        transform: nn.Module | None,
        seed: int,
        workers: "Workers",
        on_corrupt: Literal["error", "skip"] = "error",
    ) -> None:
        self.batch_sampler = batch_sampler
        self._report = FaultReport(on_corrupt)
        self._loader: DataLoader[ReadBatch] = DataLoader(
            _BatchReader(split, transform, pads=workers.pads),
            sampler=_KeyedRequests(batch_sampler, seed),
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers.num_workers,
            persistent_workers=workers.num_workers > 0,
            pin_memory=workers.pin_memory,
            # Else each epoch would take a draw from the global generator, which weights and dropout use.
            generator=torch.Generator(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Empty: the data module holds the position. Lightning warns of loaders without this method."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore, see `state_dict`."""

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of {image: (b, C, H, W) uint8, index: (b,) int64, and labels, objects or classes of pixels}.

        Raises:
            UserError: an image that cannot be read (unless it is to be left out), a batch with none that can,
                a transform that fails, images of different sizes.
        """
        # The body runs at the first batch only, after Lightning has set the epoch.
        sampler = self.batch_sampler
        shares = sampler.shares()[sampler.start_batch :]
        try:
            for read, share in zip(self._loader, shares, strict=True):
                self._report.add(read.faults, num_read=len(read.batch.get(INDEX, ())))
                yield weighted(read.batch, sampler.weight(share))
        finally:
            self._report.close()


@dataclass(frozen=True)
class Workers:
    """Who reads: `num_workers` processes (0: this one), into page-locked memory if `pin_memory`.

    With `pads`, images of different sizes are padded, and a batch tells their sizes: see `DataInfo.has_sizes`.
    """

    num_workers: int = 0
    pin_memory: bool = False
    pads: bool = False


class Sample(NamedTuple):
    """What was read of one sample.

    Args:
        image: (C, H, W) uint8, transformed.
        target: its label, objects or classes of pixels, moved with it; None: unknown.
        source_size: (height, width) before the transform.
    """

    image: Tensor
    target: Target
    source_size: tuple[int, int]


def read_sample(split: Split, index: int, transform: nn.Module | None) -> Sample:
    """One sample, transformed.

    Raises:
        UnreadableImageError: the file cannot be decoded.
        UserError: the transform fails, or gives something else than uint8.
    """
    image, target = split[index]
    source_size = (image.shape[-2], image.shape[-1])
    if transform is None:
        return Sample(image, target, source_size)
    try:
        if isinstance(target, Objects):
            keypoints = keypoints_of(split)
            swaps = None if keypoints is None else keypoints.swaps
            transformed, target = transform_with_objects(transform, image, target, swaps)
        elif isinstance(target, Pixels):
            transformed, target = transform_with_pixels(transform, image, target)
        else:
            transformed = transform(image)
    except UserError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"data.init_args: a transform fails on {split.name(index)}, {list(image.shape)}: {_one_line(error)}"
        ) from error
    if transformed.dtype != torch.uint8:
        raise UserError(
            f"data.init_args: a transform gives {transformed.dtype} images, allowed: torch.uint8 (scaling "
            "and normalization follow on the device, see data.init_args.normalize)"
        )
    return Sample(transformed, target, source_size)


class _KeyedRequests:
    """What is asked of the workers: each batch's indices with a key for each sample."""

    def __init__(self, batch_sampler: EpochSampler, seed: int) -> None:
        self.batch_sampler = batch_sampler
        self.seed = seed

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Request]:
        for index in self.batch_sampler:
            yield index, sample_keys(self.seed, self.batch_sampler.epoch, index).tolist()


class _BatchReader(Dataset[ReadBatch]):
    """Reads whole batches; a bad image raises nothing, since that would end a worker with a traceback."""

    def __init__(self, split: Split, transform: nn.Module | None, *, pads: bool) -> None:
        self.split = split
        self.transform = transform
        self.pads = pads

    def __getitem__(self, request: Request) -> ReadBatch:
        indices, keys = request
        samples: list[tuple[int, Sample]] = []
        faults: list[Fault] = []
        with borrowed_cpu_generator() as generator:
            for index, key in zip(indices.tolist(), keys, strict=True):
                generator.manual_seed(key)
                try:
                    samples.append((index, read_sample(self.split, index, self.transform)))
                except UnreadableImageError as error:
                    faults.append(Fault(str(error), skippable=True))
                except UserError as error:
                    faults.append(Fault(str(error), skippable=False))
        sizes = {tuple(sample.image.shape): index for index, sample in samples}
        if len(sizes) > 1 and not self.pads:
            faults.append(self._size_fault(sizes))
            samples = []
        return ReadBatch(_stack(samples, pads=self.pads), faults)

    def _size_fault(self, sizes: dict[tuple[int, ...], int]) -> Fault:
        (shape_a, index_a), (shape_b, index_b) = list(sizes.items())[:2]
        shapes = f"{self.split.name(index_a)} is {list(shape_a)}, {self.split.name(index_b)} is {list(shape_b)}"
        return Fault(
            f"images of one batch have different sizes (C, H, W): {shapes}; set data.init_args.size_px, or "
            "transforms that give one size",
            skippable=False,
        )


def _stack(samples: list[tuple[int, Sample]], *, pads: bool) -> Batch:
    if not samples:
        return {}
    images = [sample.image for _, sample in samples]
    batch = {INDEX: torch.tensor([index for index, _ in samples])}
    if pads:
        batch[SIZE] = torch.tensor([image.shape[-2:] for image in images])
        batch[SOURCE_SIZE] = torch.tensor([sample.source_size for _, sample in samples])
    batch[IMAGE] = _padded(images, 0) if pads else torch.stack(images)
    targets = [sample.target for _, sample in samples]
    labels = [target for target in targets if isinstance(target, Tensor)]
    objects = [target for target in targets if isinstance(target, Objects)]
    if labels:
        batch[LABEL] = torch.stack(labels)
    if objects:
        batch |= pack(objects, (batch[IMAGE].shape[-2], batch[IMAGE].shape[-1]))
    pixels = [target for target in targets if isinstance(target, Pixels)]
    if pixels:
        batch[CLASSES] = _padded([each.classes for each in pixels], IGNORED)
    segments = [each.segments for each in pixels if each.segments is not None]
    if segments:
        batch[SEGMENT] = _padded(segments, VOID)
    return batch


def _padded(images: list[Tensor], value: int) -> Tensor:
    """(B, ..., H, W): the images (..., h, w), right and below of each as much of a value as the largest needs."""
    height = max(image.shape[-2] for image in images)
    width = max(image.shape[-1] for image in images)
    padded = images[0].new_full((len(images), *images[0].shape[:-2], height, width), value)
    for place, image in zip(padded, images, strict=True):
        place[..., : image.shape[-2], : image.shape[-1]] = image
    return padded


def _unchanged(read: Any) -> Any:
    return read


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
