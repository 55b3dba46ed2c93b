"""What does a classifier that was trained in a run of its own make of images?"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Batches, DataInfo
from lightning_cv.errors import UserError
from lightning_cv.networks.classify.small_resnet import SmallResNet
from lightning_cv.networks.features.base import Features
from lightning_cv.networks.head import find_head
from lightning_cv.networks.saved_part import load_saved, saved_statistics


class SavedFeatures(Features):
    """What the head of a classifier gets to see, with the weights of a run; normalized as the images of that run were.

    The weights are read when a training starts, and then travel in its checkpoints.

    Args:
        network: as the recipe of its run has it; None: the `SmallResNet` of the recipe `digits_resnet`.
        weights: a checkpoint of the run, or its folder: then its best one.

    Raises:
        UserError: the network has no head; in `fit_images`, no such weights.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module | None = None, *, weights: str | None = None) -> None:
        super().__init__()
        self.network = network or SmallResNet(10, in_channels=1, widths=(32, 64), blocks_per_stage=1)
        self.weights = weights
        head = find_head(self.network)
        assert isinstance(head, nn.Linear | nn.Conv2d)
        self.num_features = head.in_features if isinstance(head, nn.Linear) else head.in_channels
        self.register_buffer("mean", torch.zeros(1, 1, 1))
        self.register_buffer("std", torch.ones(1, 1, 1))

    @property
    def name(self) -> str:
        """Which one, for tables."""
        return f"{type(self.network).__name__} of {self.weights}"

    def check_data(self, info: DataInfo) -> None:
        """See `Features`."""
        channels = _channels(self.network)
        if channels is not None and channels != info.channels:
            raise UserError(
                f"quality: {type(self.network).__name__} of SavedFeatures takes {channels} channels, but the images "
                f"have {info.channels}; allowed: a classifier of such images"
            )

    def find(self, batches: Batches) -> None:
        """Read the weights of the run, and how it normalized its images."""
        if self.weights is None:
            raise UserError("SavedFeatures: weights is null; allowed: the folder of a run, or a checkpoint")
        load_saved(self.network, self.weights, asked_by="SavedFeatures")
        mean, std = saved_statistics(self.weights, asked_by="SavedFeatures")
        self.mean, self.std = (self.mean.new_tensor(values).view(-1, 1, 1) for values in (mean, std))

    def features(self, images: Tensor) -> Tensor:
        """What goes into the head; of a map its means."""
        seen: list[Tensor] = []
        handle = find_head(self.network).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            self.network(self._normalized(images))
        finally:
            handle.remove()
        return seen[0].flatten(2).mean(2) if seen[0].ndim == 4 else seen[0]

    def scores(self, images: Tensor) -> Tensor:
        """(B, K) float32, logits of images (B, C, H, W) in [0, 1]."""
        self.check_found()
        scores: Tensor = self.network(self._normalized(images.float()))
        return scores.float()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Statistics that were saved tell the channels."""
        for name in ("mean", "std"):
            if isinstance(saved := state_dict.get(prefix + name), Tensor):
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _normalized(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def _channels(network: nn.Module) -> int | None:
    convolution = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return None if convolution is None else convolution.in_channels
