"""How are the pixels of an image scored that is larger than those of training, or seen in several ways?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from lightning_cv.errors import UserError
from lightning_cv.networks.segment.scores import Score, resized_scores


class SlidingWindows:
    """Score an image window by window; where windows overlap, scores are averaged (row 207).

    Windows lie in a grid, the last of each row and column at the image's border. An image that is smaller than a
    window is scored as it is.

    Args:
        size_px: (height, width) of a window, such as the crop of training.
        overlap: share of a window that the next one covers too, at least, in [0, 1).
    """

    def __init__(self, size_px: tuple[int, int], overlap: float = 1 / 3) -> None:
        if min(size_px) < 1:
            raise UserError(f"SlidingWindows size_px: {list(size_px)} given, allowed: height and width, 1 or more")
        if not 0 <= overlap < 1:
            raise UserError(f"SlidingWindows overlap: {overlap} given, allowed: 0 to below 1")
        self.size_px = (size_px[0], size_px[1])
        self.overlap = overlap

    def __call__(self, score: Score, images: Tensor) -> Tensor:
        """Scores (B, K, H, W) of images (B, C, H, W)."""
        size = (images.shape[-2], images.shape[-1])
        rows, columns = (self._starts(length, window) for length, window in zip(size, self.size_px, strict=True))
        if len(rows) == len(columns) == 1:
            return score(images)
        total: Tensor | None = None
        counts = images.new_zeros(size, dtype=torch.float32)
        for top, left in product(rows, columns):
            place = (..., slice(top, top + self.size_px[0]), slice(left, left + self.size_px[1]))
            scores = score(images[place]).float()
            if total is None:
                total = scores.new_zeros(*scores.shape[:2], *size)
            total[place] += scores
            counts[place] += 1
        assert total is not None
        return total / counts

    def _starts(self, length: int, window: int) -> list[int]:
        step = max(1, int(window * (1 - self.overlap)))
        last = max(0, length - window)
        return sorted({*range(0, last, step), last})


class TestTimeAugmentation:
    """Probabilities of several views of an image, averaged (row 137).

    Args:
        flip: look at the mirror image too.
        scales: look at the image at these multiples of its size; 1 is the image itself.
    """

    __test__ = False  # no test, whatever pytest makes of its name

    def __init__(self, flip: bool = True, scales: Sequence[float] = (1.0,)) -> None:
        if not scales or min(scales) <= 0:
            raise UserError(f"TestTimeAugmentation scales: {list(scales)} given, allowed: numbers above 0")
        self.flip = flip
        self.scales = tuple(scales)

    def __call__(self, score: Score, images: Tensor) -> Tensor:
        """Probabilities (B, K, H, W) float32 of images (B, C, H, W)."""
        height, width = images.shape[-2:]
        views: list[Tensor] = []
        for scale in self.scales:
            seen = resized_scores(images, (max(1, round(height * scale)), max(1, round(width * scale))))
            said = [score(seen), *([score(seen.flip(-1)).flip(-1)] if self.flip else [])]
            views += [resized_scores(scores.float(), (height, width)).softmax(1) for scores in said]
        return torch.stack(views).mean(0)
