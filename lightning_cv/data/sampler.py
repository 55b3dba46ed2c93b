"""Which samples does this device get in each step, and in which order?

The order is a pure function of (seed, epoch): the batch of step k is made of fixed positions of that order,
whatever the number of devices and workers, and each device takes its contiguous share of it. `batch_size` is
therefore the number of samples that all devices together use in one step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from lightning_cv.contracts import SHARE, Batch
from lightning_cv.errors import UserError
from lightning_cv.ops.counter_random import sample_keys
from lightning_cv.ops.processes import rank_and_devices

Bounds = tuple[int, int]  # first position and one past the last, in the order of the epoch


class EpochSampler(ABC):
    """Yields the (b,) int64 indices of each batch of this device; rank and devices are read when it is asked.

    Args:
        num_samples: N, how many samples the split has.
        batch_size: B, samples a step over all devices; a multiple of the number of devices.

    Attributes:
        epoch: number of the pass over the data, from 0.
        start_batch: the next iteration starts at this batch; every one after it starts at 0 again.
    """

    def __init__(self, num_samples: int, batch_size: int) -> None:
        if batch_size < 1:
            raise UserError(f"data.init_args.batch_size: {batch_size} given, allowed: 1 or more")
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.epoch = 0
        self.start_batch = 0
        self._resumed_epoch: int | None = None

    def resume(self, epoch: int, batch: int) -> None:
        """Let the first iteration be that of `epoch` from `batch` on; if another epoch comes first, from its start."""
        self.set_epoch(epoch)
        self._resumed_epoch = epoch
        self.start_batch = batch

    @property
    def sampler(self) -> "EpochSampler":
        """Itself: Lightning looks for `set_epoch` on a loader's `batch_sampler.sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Take the order of another epoch; Lightning calls it before each one."""
        if epoch != self._resumed_epoch:
            self.start_batch = 0
        self._resumed_epoch = None

    @abstractmethod
    def order(self) -> Tensor:
        """(N,) int64: the samples in the order of this epoch."""

    @abstractmethod
    def global_batches(self, num_devices: int) -> list[Bounds]:
        """What all devices together take in each step, as bounds in `order`."""

    def shares(self) -> list[Bounds]:
        """What this device takes in each step, as bounds in `order`; a step without any is left out."""
        rank, num_devices = rank_and_devices()
        check_batch_size(self.batch_size, num_devices)
        shares = [share(bounds, rank, num_devices) for bounds in self.global_batches(num_devices)]
        return [(start, stop) for start, stop in shares if start < stop]

    def weight(self, bounds: Bounds) -> float:
        """How much what this device takes in one step counts in the mean over devices; 1: as much as any other's.

        Devices average their gradients; weighted so, the average is that over the samples of all of them.
        """
        return 1.0

    def upcoming(self) -> list[Bounds]:
        """The shares from `start_batch` on, which is used up by this."""
        first, self.start_batch = self.start_batch, 0
        return self.shares()[first:]

    def __len__(self) -> int:
        """The steps of all devices, also where this one has no part in them: a validation of length 0 Lightning
        skips as a whole, and the others would wait in it for ever."""
        _, num_devices = rank_and_devices()
        check_batch_size(self.batch_size, num_devices)
        return len(self.global_batches(num_devices))

    def __iter__(self) -> Iterator[Tensor]:
        order = self.order()
        for start, stop in self.upcoming():
            yield order[start:stop]


class ShuffledBatches(EpochSampler):
    """Training batches: a new order each epoch, and the same number of steps on every device.

    The last batch may be smaller. It is shared as evenly as possible, and left out where a device would get
    nothing of it.

    Args:
        num_samples: N, how many samples the split has.
        batch_size: B, samples a step over all devices.
        seed: with the epoch, gives the order.
        drop_last: leave out the last batch if it is smaller than the others.
        reshuffle: a new order each epoch; else the order of epoch 0 always.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        seed: int,
        drop_last: bool = False,
        reshuffle: bool = True,
    ) -> None:
        super().__init__(num_samples, batch_size)
        self.seed = seed
        self.drop_last = drop_last
        self.reshuffle = reshuffle

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as in `epoch` from the next iteration on."""
        super().set_epoch(epoch)
        if self.reshuffle:
            self.epoch = epoch

    def order(self) -> Tensor:
        """A permutation drawn from (seed, epoch)."""
        key = sample_keys(self.seed, self.epoch, torch.tensor([-1]))
        generator = torch.Generator().manual_seed(int(key))
        return torch.randperm(self.num_samples, generator=generator)

    def weight(self, bounds: Bounds) -> float:
        """Its samples over an even share of all: other than 1 in a last batch that devices cannot share evenly."""
        start, stop = bounds
        _, num_devices = rank_and_devices()
        in_step = min(self.batch_size, self.num_samples - start // self.batch_size * self.batch_size)
        return (stop - start) * num_devices / in_step

    def global_batches(self, num_devices: int) -> list[Bounds]:
        """Positions k B to (k + 1) B for step k."""
        smallest = self.batch_size if self.drop_last else num_devices
        batches = _consecutive(self.num_samples, self.batch_size)
        return [(start, stop) for start, stop in batches if stop - start >= smallest]


class OrderedBatches(EpochSampler):
    """Evaluation batches: every sample exactly once over all devices, in the order of the split.

    A last batch with fewer samples than devices joins the one before it, so that all devices take the same
    number of steps. Only a split with fewer samples than devices leaves some of them without any batch.
    """

    def order(self) -> Tensor:
        """0 ... N - 1."""
        return torch.arange(self.num_samples)

    def global_batches(self, num_devices: int) -> list[Bounds]:
        """Positions k B to (k + 1) B for step k; the last step may have up to B + devices - 1."""
        batches = _consecutive(self.num_samples, self.batch_size)
        if len(batches) > 1 and batches[-1][1] - batches[-1][0] < num_devices:
            batches[-2:] = [(batches[-2][0], batches[-1][1])]
        return batches


class WholeBatches(OrderedBatches):
    """Every sample on every device, in the order of the split."""

    def shares(self) -> list[Bounds]:
        """All batches."""
        return self.global_batches(1)


def share(bounds: Bounds, rank: int, num_devices: int) -> Bounds:
    """The contiguous part of `bounds` that belongs to `rank`; the parts differ by at most one sample."""
    start, stop = bounds
    size = stop - start
    return start + size * rank // num_devices, start + size * (rank + 1) // num_devices


def weighted(batch: Batch, weight: float) -> Batch:
    """The batch with its `EpochSampler.weight` noted, unless that is 1."""
    return batch if weight == 1 else {**batch, SHARE: torch.tensor(weight)}


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Refuse a batch that the devices cannot share evenly.

    Raises:
        UserError: `num_devices` does not divide `batch_size`.
    """
    if batch_size % num_devices:
        below = batch_size // num_devices * num_devices
        near = f"{below} or {below + num_devices}" if below else f"{num_devices}"
        raise UserError(
            f"data.init_args.batch_size: {batch_size} given for {num_devices} devices together, "
            f"allowed: multiples of {num_devices} (next: {near})"
        )


def check_has_batches(sampler: ShuffledBatches) -> None:
    """Refuse a batch that is larger than the data, where only whole ones are used, and more devices than samples.

    Raises:
        UserError: there is no batch.
    """
    _, num_devices = rank_and_devices()
    if not sampler.global_batches(1):
        raise UserError(
            f"data.init_args.batch_size: {sampler.batch_size} given with drop_last, "
            f"allowed: up to the {sampler.num_samples} training samples"
        )
    if sampler.num_samples < num_devices:
        raise UserError(
            f"trainer.devices: {num_devices} together for {sampler.num_samples} training samples, allowed: up to as "
            "many as samples"
        )


def _consecutive(num_samples: int, batch_size: int) -> list[Bounds]:
    starts = range(0, num_samples, batch_size)
    return [(start, min(start + batch_size, num_samples)) for start in starts]
