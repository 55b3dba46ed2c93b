"""What does a person look at to judge a generative network?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_cv.contracts import INDEX, LABEL, Density, GenerativeNetwork, HasCodes, HasLatents, Reconstructs
from lightning_cv.networks.generate.latents import STEPS, traversal
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.pictures.sheet import interleaved, sheet_picture
from lightning_cv.tasks.codebook_gallery import CodeUse

if TYPE_CHECKING:
    from PIL.Image import Image

    from lightning_cv.contracts import Batch, Gallery, Showing

SEED = 0  # of the noise that samples come from: the same in every picture of a training


def generation_galleries(network: GenerativeNetwork, showing: Showing) -> list[Gallery]:
    """The galleries of what a network can do."""
    galleries: list[Gallery] = []
    if network.density != Density.NONE:
        galleries.append(Samples(network, showing))
    if isinstance(network, Reconstructs):
        galleries.append(Reconstructions(showing))
    if isinstance(network, HasLatents):
        galleries.append(Traversals(network, showing))
    if isinstance(network, HasCodes):
        galleries.append(CodeUse(network, showing))
    return galleries


class Samples:
    """New images, from noise that stays the same over a training; of a conditional network the classes in turn."""

    def __init__(self, network: GenerativeNetwork, showing: Showing) -> None:
        self._network = network
        self._showing = showing

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Nothing: they come from the weights."""

    @torch.no_grad()
    def take(self) -> Tensor:
        """(N, C, H, W) in [0, 1], on the CPU."""
        device = device_of(self._network)
        index = torch.arange(self._showing.num_images, device=device)
        labels = None if self._network.num_classes is None else index % self._network.num_classes
        return self._network.sample(OwnDraws.of_indices(index, seed=SEED), labels).float().cpu()

    def draw(self, taken: Sequence[Tensor]) -> dict[str, Image]:
        """The picture `samples`."""
        classes = "" if self._network.num_classes is None else ", of the classes in turn"
        return {"samples": sheet_picture(taken[0], f"{self._showing.title}: samples{classes}")}


class Reconstructions:
    """The first images, each beside what comes back of its code."""

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the images with the lowest indices."""
        images, back = outputs["targets"], outputs["predictions"].reconstruction
        for place, index in enumerate(batch[INDEX].tolist()):
            if index < self._showing.num_images:
                self._kept[index] = images[place], back[place]

    def take(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Pairs (C, H, W) by index, on the CPU."""
        return {index: (image.float().cpu(), back.float().cpu()) for index, (image, back) in self._kept.items()}

    def draw(self, taken: Sequence[dict[int, tuple[Tensor, Tensor]]]) -> dict[str, Image]:
        """The picture `reconstructions`."""
        pairs = {index: pair for part in taken for index, pair in part.items()}
        if not pairs:
            return {}
        images, back = (torch.stack([pairs[index][side] for index in sorted(pairs)]) for side in (0, 1))
        title = f"{self._showing.title}: images, and to the right of each its reconstruction"
        columns = 2 * max(1, round((len(pairs) / 2) ** 0.5))
        return {"reconstructions": sheet_picture(interleaved([images, back]), title, columns=columns)}


class Traversals:
    """One image of which one latent number after another is changed: a row each (row 243)."""

    def __init__(self, network: HasLatents, showing: Showing) -> None:
        self._network = network
        self._is_conditional = getattr(network, "num_classes", None) is not None
        self._showing = showing
        self._first: tuple[int, Tensor, Tensor | None] | None = None

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the image with the lowest index."""
        place = int(batch[INDEX].argmin())
        index = int(batch[INDEX][place])
        if self._first is None or index < self._first[0]:
            label = batch[LABEL][place, None] if self._is_conditional else None
            self._first = index, outputs["targets"][place, None], label

    @torch.no_grad()
    def take(self) -> tuple[int, Tensor] | None:
        """Index of the image, and images (rows x steps, C, H, W) on the CPU; None: no image was seen."""
        if self._first is None:
            return None
        index, image, label = self._first
        return index, traversal(self._network, self._network.encode(image, label), label).cpu()

    def draw(self, taken: Sequence[tuple[int, Tensor] | None]) -> dict[str, Image]:
        """The picture `traversals`."""
        known = [part for part in taken if part is not None]
        if not known:
            return {}
        _, images = min(known, key=lambda part: part[0])
        title = f"{self._showing.title}: a latent number a row, from -3 to 3"
        return {"traversals": sheet_picture(images, title, columns=len(STEPS))}


def device_of(network: object) -> torch.device:
    """Where a network's weights are."""
    assert isinstance(network, nn.Module)
    return next(network.parameters()).device
