"""How well do samples follow a picture of what they should look like?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_cv.contracts import INDEX, LABEL, FollowsControl, GenerativeNetwork
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.pictures.sheet import interleaved, sheet_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from lightning_cv.contracts import Batch, Gallery, Showing

_SEED = 2  # of the noise that samples come from


def follow_control(network: GenerativeNetwork, images: Tensor, labels: Tensor | None, index: Tensor) -> Tensor:
    """Samples (B, C, H, W) in [0, 1] that follow the control of images (B, C, H, W); each has draws of its own.

    Args:
        network: keeps `FollowsControl`.
        images: in [0, 1].
        labels: (B,) int64 where the network is conditional.
        index: (B,) int64, of the images.
    """
    assert isinstance(network, FollowsControl)
    return network.sample_controlled(OwnDraws.of_indices(index, seed=_SEED), network.control_of(images), labels).float()


def agreement(network: GenerativeNetwork, images: Tensor, labels: Tensor | None, index: Tensor) -> Tensor:
    """(B, 2) float32: correlation of an image's control and that of a sample, which follows it, or does not.

    Arguments as of `follow_control`.
    """
    assert isinstance(network, FollowsControl)
    wanted = network.control_of(images)
    free = network.sample(OwnDraws.of_indices(index, seed=_SEED), labels).float()
    drawn = (follow_control(network, images, labels, index), free)
    return torch.stack([correlation(network.control_of(samples), wanted) for samples in drawn], 1)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """(B,) float32, Pearson's, of the values of two pictures each (B, ...); 0 where one of them is flat."""
    centred = [part.double().flatten(1) - part.double().flatten(1).mean(1, keepdim=True) for part in (first, second)]
    lengths = [part.norm(dim=1) for part in centred]
    share = (centred[0] * centred[1]).sum(1) / (lengths[0] * lengths[1])
    return torch.nan_to_num(share, nan=0.0, posinf=0.0, neginf=0.0).float()


class Controlled:
    """The first images: the control of each, a sample that follows it, and the image itself."""

    def __init__(self, network: GenerativeNetwork, showing: Showing) -> None:
        self._network = network
        self._showing = showing
        self._kept: dict[int, tuple[Tensor, Tensor | None]] = {}

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the images with the lowest indices."""
        labels = batch[LABEL] if self._network.num_classes is not None else None
        for place, index in enumerate(batch[INDEX].tolist()):
            if index < self._showing.num_images:
                self._kept[index] = outputs["targets"][place], None if labels is None else labels[place]

    @torch.no_grad()
    def take(self) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        """Control, sample and image (C, H, W) by index, on the CPU."""
        assert isinstance(self._network, FollowsControl)
        if not self._kept:
            return {}
        index = sorted(self._kept)
        images = torch.stack([self._kept[i][0] for i in index])
        known = [label for i in index if (label := self._kept[i][1]) is not None]
        labels = torch.stack(known) if known else None
        samples = follow_control(self._network, images, labels, torch.tensor(index, device=images.device))
        control = self._network.control_of(images).expand_as(images)
        parts = [part.float().cpu() for part in (control, samples, images)]
        return {i: (parts[0][place], parts[1][place], parts[2][place]) for place, i in enumerate(index)}

    def draw(self, taken: Sequence[dict[int, tuple[Tensor, Tensor, Tensor]]]) -> dict[str, Image]:
        """The picture `controlled`."""
        found = {index: parts for part in taken for index, parts in part.items()}
        if not found:
            return {}
        columns = [torch.stack([found[index][place] for index in sorted(found)]) for place in range(3)]
        title = f"{self._showing.title}: a control, a sample that follows it, and the image that it is of"
        return {"controlled": sheet_picture(interleaved(columns), title, columns=3 * max(1, len(found) // 12 + 1))}


def control_galleries(network: GenerativeNetwork, showing: Showing) -> list[Gallery]:
    """Of a network that follows a control."""
    return [Controlled(network, showing)] if isinstance(network, FollowsControl) else []
