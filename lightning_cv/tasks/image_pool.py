"""Why does a discriminator not forget what the generator made before? It is shown some of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_OLD_SHARE = 0.5


class ImagePool:
    """Keeps generated images, and gives older ones in the place of half of the new ones (Shrivastava et al. 2017).

    Until it is full each image is kept and given. Then, for each one: in half of the cases itself, in the others one
    that was kept, whose place it takes (Zhu et al. 2017, section 4: 50 images).

    Args:
        size: how many are kept; 0: none, and each image is given.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: list[Tensor] = []

    def exchange(self, images: Tensor, chance: Tensor) -> Tensor:
        """As many images, new or old, without gradients.

        Args:
            images: (B, C, H, W).
            chance: (B, 2) in (0, 1): of each, whether it is exchanged, and for which.
        """
        images = images.detach()
        if not self.size:
            return images
        given = []
        for image, (coin, place) in zip(images, chance.tolist(), strict=True):
            if len(self._kept) < self.size:
                self._kept.append(image.clone())
                given.append(image)
            elif coin < _OLD_SHARE:
                number = int(place * self.size)
                given.append(self._kept[number].to(image))
                self._kept[number] = image.clone()
            else:
                given.append(image)
        return torch.stack(given) if given else images

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        return {"kept": torch.stack(self._kept).cpu() if self._kept else None}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take it up again."""
        kept = state_dict["kept"]
        self._kept = [] if kept is None else list(kept.clone())
