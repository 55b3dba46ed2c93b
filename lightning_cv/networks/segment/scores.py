"""How does any segmentation network say its scores for images of any size?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.ops.image_sizes import pad, padded_size, rows_by_size

Score = Callable[[Tensor], Tensor]  # images (B, C, H, W) to scores (B, K, H, W)


def pixel_scores(network: nn.Module, images: Tensor, *, divisible_by: int = 1) -> list[Tensor]:
    """Scores (B, K, H, W) of the main head, and behind them those of auxiliary ones.

    Images are padded with 0 at the right and below until their height and width can be divided. A network may return
    scores, a tuple of them with the main ones first, or a dictionary with `out` (torchvision's networks); smaller ones
    than the image are enlarged.

    Raises:
        UserError: it returns something else.
    """
    height, width = images.shape[-2:]
    padded = pad(images, padded_size([(height, width)], divisible_by))
    said: Any = network(padded)
    if isinstance(said, dict):
        said = [said.get("out"), *(scores for name, scores in said.items() if name != "out")]
    heads = list(said) if isinstance(said, list | tuple) else [said]
    if not heads or not all(isinstance(each, Tensor) and each.ndim == 4 for each in heads):
        raise UserError(
            f"model.init_args.network: {type(network).__name__} gives no scores of pixels; allowed: a tensor "
            "(B, classes, H, W), a tuple of them, or a dictionary with one as `out`"
        )
    return [_fitted(scores, padded)[..., :height, :width] for scores in heads]


def _fitted(scores: Tensor, images: Tensor) -> Tensor:
    size = images.shape[-2:]
    if scores.shape[-2:] == size:
        return scores
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)


def scores_of_each(score: Score, images: Tensor, sizes: Tensor) -> list[Tensor]:
    """Scores (K, h, w) of each image, without its padding: images of one size are scored together.

    Args:
        score: images to scores.
        images: (B, C, H, W).
        sizes: (B, 2) int64, see `contracts.SIZE`.
    """
    scores: dict[int, Tensor] = {}
    for rows, (height, width) in rows_by_size(sizes.tolist()):
        scores |= dict(zip(rows, score(images[rows, :, :height, :width]), strict=True))
    return [scores[row] for row in range(len(images))]


def resized_scores(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores (B, K, h, w) at another size (H, W), without aliasing where it is smaller."""
    if scores.shape[-2:] == torch.Size(size):
        return scores
    smaller = size[0] < scores.shape[-2] or size[1] < scores.shape[-1]
    return F.interpolate(scores, size, mode="bilinear", align_corners=False, antialias=smaller)
