"""How are batches of images that fit in memory made at the least cost a step?"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Batch
from lightning_cv.data.sampler import EpochSampler, weighted
from lightning_cv.data.splits import ResidentSplit


class ResidentLoader:
    """Gathers whole batches from one uint8 tensor with a single call each.

    Lightning leaves it alone, since it is no torch `DataLoader`: it neither replaces the sampler, which
    divides the batches over the devices itself, nor builds the loader anew for prediction.

    Args:
        split: the images (N, C, H, W) uint8 and labels.
        batch_sampler: decides the batches of this device.
        device: where the images are kept and gathered.
        pin_memory: gather into page-locked memory, from which copies to a CUDA device do not block.
    """

    def __init__(
        self,
        split: ResidentSplit,
        batch_sampler: EpochSampler,
        *,
        device: torch.device | None = None,
        pin_memory: bool = False,
    ) -> None:
        self.batch_sampler = batch_sampler
        self.pin_memory = pin_memory
        self._images = split.images.to(device or "cpu").contiguous()
        self._labels = split.labels

    def state_dict(self) -> dict[str, Any]:
        """Empty: the data module holds the position. Lightning warns of loaders without this method."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore, see `state_dict`."""

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of {image: (b, C, H, W) uint8, label: (b,) int64 or (b, classes), index: (b,) int64}.

        Labels and indices stay on the CPU: they are small, and the index must be readable without a
        synchronization with the device.
        """
        # The body runs at the first batch only, after Lightning has set the epoch.
        order = self.batch_sampler.order()
        labels = self._labels.index_select(0, order)
        on_device = order.to(self._images.device)
        for start, stop in self.batch_sampler.upcoming():
            batch = {
                IMAGE: self._gather(on_device[start:stop]),
                LABEL: labels[start:stop],
                INDEX: order[start:stop],
            }
            yield weighted(batch, self.batch_sampler.weight((start, stop)))

    def _gather(self, index: Tensor) -> Tensor:
        if not self.pin_memory:
            return self._images.index_select(0, index)
        shape = (len(index), *self._images.shape[1:])
        pinned = torch.empty(shape, dtype=self._images.dtype, pin_memory=True)
        return torch.index_select(self._images, 0, index, out=pinned)
