"""What does a person look at to judge a translation of images?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_cv.contracts import INDEX
from lightning_cv.pictures.sheet import interleaved, sheet_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from lightning_cv.contracts import Batch, Showing

_COLUMNS = 4  # translations in a row


@dataclass(frozen=True)
class Side:
    """One of the images that stand side by side.

    Args:
        name: what it is.
        show: makes it one for a person, (N, 1 or 3, H, W); None: it is one.
    """

    name: str
    show: Callable[[Tensor], Tensor] | None = None


class Translations:
    """The first images of a set, each as so many images side by side: what went in, what came out, what is true.

    Args:
        showing: see `Showing`.
        sides: of the images (B, C, H, W) that a step gives as its predictions, in this order.
        name: of the picture.
        columns: translations in a row.
    """

    def __init__(
        self, showing: Showing, sides: Sequence[Side], *, name: str = "translations", columns: int = 4
    ) -> None:
        self._showing, self._sides, self._name, self._columns = showing, sides, name, columns
        self._kept: dict[int, list[Tensor]] = {}

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the images with the lowest indices."""
        parts = outputs["predictions"]
        for place, index in enumerate(batch[INDEX].tolist()):
            if index < self._showing.num_images:
                self._kept[index] = [part[place] for part in parts]

    def take(self) -> dict[int, list[Tensor]]:
        """Images (C, H, W) by index, on the CPU, ready to be looked at."""
        return {index: [self._shown(*pair) for pair in enumerate(images)] for index, images in self._kept.items()}

    def draw(self, taken: Sequence[dict[int, list[Tensor]]]) -> dict[str, Image]:
        """The picture."""
        kept = {index: images for part in taken for index, images in part.items()}
        if not kept:
            return {}
        sides = [torch.stack([kept[index][place] for index in sorted(kept)]) for place in range(len(self._sides))]
        names = ", ".join(side.name for side in self._sides)
        columns = len(sides) * min(_COLUMNS, len(kept))
        return {self._name: sheet_picture(interleaved(sides), f"{self._showing.title}: {names}", columns=columns)}

    def _shown(self, place: int, image: Tensor) -> Tensor:
        show = self._sides[place].show
        shown = image[None] if show is None else show(image[None])
        return shown[0].float().expand(3, -1, -1).cpu()
