"""How large a part of the image does one place of a feature map see?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DRAWS = 3


def receptive_field(network: nn.Module, image: tuple[int, int, int]) -> tuple[int, int] | None:
    """Height and width, in pixels, of what the middle of the last feature map depends on (row 63).

    Measured by the support of the gradient, over several random images: 1 + L (K - 1) for L convolutions of size K
    without strides. It is never larger than the image; a network with attention or a global mean sees all of it.

    Args:
        network: takes images (B, C, H, W) and gives (B, C', H', W'); left as it was.
        image: C, H, W of an image that is larger than the field.

    Returns:
        None where no pixel matters, as after a layer of zeros.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    generator = torch.Generator().manual_seed(0)
    touched = torch.zeros(image[1:], dtype=torch.bool)
    try:
        for _ in range(DRAWS):  # rectifiers and maxima hide some pixels of each
            pixels = torch.randn(1, *image, generator=generator).requires_grad_()
            touched |= _support(network(pixels), pixels)
    finally:
        for module, mode in modes.items():
            module.training = mode
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    if not len(rows):
        return None
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def _support(features: Tensor, pixels: Tensor) -> Tensor:
    """Which pixels (H, W) the middle place of features (1, C, h, w) depends on; of regions it is that of the first."""
    if not len(features):  # maps of regions, and there is none on this image
        return torch.zeros(pixels.shape[2:], dtype=torch.bool)
    middle = features[0, :, features.shape[2] // 2, features.shape[3] // 2]
    # Channels are weighted at random, so that none takes back what another adds.
    weights = torch.rand(middle.shape, generator=torch.Generator().manual_seed(1)) + 0.5
    if not middle.requires_grad:  # a map that is made of no image, such as one of positions
        return torch.zeros(pixels.shape[2:], dtype=torch.bool)
    (slope,) = torch.autograd.grad((middle * weights).sum(), pixels, allow_unused=True)
    return torch.zeros(pixels.shape[2:], dtype=torch.bool) if slope is None else slope[0].ne(0).any(0)
