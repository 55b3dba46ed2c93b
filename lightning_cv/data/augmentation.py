"""What happens to a training batch on the device, in which order?"""

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Batch
from lightning_cv.data.batch_transforms import KeyedTransform
from lightning_cv.data.mixing import is_mixing, mix
from lightning_cv.data.normalization import Normalizer
from lightning_cv.errors import UserError
from lightning_cv.ops.counter_random import sample_keys, stream_keys


class BatchAugmentation:
    """Applies batch transforms in the order of the recipe, and normalizes before the first that wants it.

    Args:
        transforms: `KeyedTransform`s, and MixUp or CutMix of torchvision, which work on normalized images.
        normalizer: makes uint8 images float and standardized.
        seed: with the epoch and the index of a sample, gives its draws.
        num_samples: N, size of the training split.
    """

    def __init__(self, transforms: Sequence[nn.Module], normalizer: Normalizer, *, seed: int, num_samples: int) -> None:
        num_raw = len(list(takewhile(_works_on_raw, transforms)))
        self._raw = list(enumerate(transforms))[:num_raw]
        self._normalized = list(enumerate(transforms))[num_raw:]
        self._normalizer = normalizer
        self._seed = seed
        self._num_samples = num_samples
        self._epoch = -1
        self._keys = torch.empty(0)

    def __call__(self, batch: Batch, epoch: int, first_index: int) -> Batch:
        """Augment and normalize.

        Args:
            batch: {image: (B, C, H, W) uint8, label, index}.
            epoch: number of the pass over the data.
            first_index: index of the batch's first sample: it seeds the draws of MixUp and CutMix.

        Returns:
            The batch with image (B, C, H, W) float32, and label (B, classes) float32 if it was blended.
        """
        keys = self._epoch_keys(epoch, batch[INDEX].device).index_select(1, batch[INDEX])
        images = batch[IMAGE]
        for stream, transform in self._raw:
            images = transform(images, keys[stream])
        images = self._normalizer(images)
        labels = batch[LABEL]
        for stream, transform in self._normalized:
            if isinstance(transform, KeyedTransform):
                images = transform(images, keys[stream])
            else:
                images, labels = mix(transform, images, labels, key=self._mixing_key(epoch, first_index, stream))
        return {**batch, IMAGE: images, LABEL: labels}

    def _epoch_keys(self, epoch: int, device: torch.device) -> Tensor:
        """(T, N) keys of all samples for each transform; hashed once an epoch: a step only gathers."""
        if self._epoch != epoch or self._keys.device != device:
            index = torch.arange(self._num_samples, device=device)
            num_streams = len(self._raw) + len(self._normalized)
            self._keys = stream_keys(sample_keys(self._seed, epoch, index), num_streams)
            self._epoch = epoch
        return self._keys

    def _mixing_key(self, epoch: int, first_index: int, stream: int) -> int:
        key = sample_keys(self._seed, epoch, torch.tensor([first_index]))
        return int(stream_keys(key, stream + 1)[stream])


def check_batch_transforms(transforms: Sequence[nn.Module]) -> None:
    """Refuse what cannot run on a batch with a draw for each sample.

    Raises:
        UserError: names the transform and where it belongs.
    """
    for transform in transforms:
        if not isinstance(transform, KeyedTransform) and not is_mixing(transform):
            raise UserError(
                f"data.init_args.batch_transforms: {type(transform).__name__} would make one draw for the "
                "whole batch; allowed: those of lightning_cv.data, and torchvision's v2.MixUp and v2.CutMix "
                "(others belong in train_transform)"
            )


def _works_on_raw(transform: nn.Module) -> bool:
    return isinstance(transform, KeyedTransform) and not transform.after_normalization
