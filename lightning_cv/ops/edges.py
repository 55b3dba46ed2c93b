"""Where does an image change most from one pixel to the next?"""

import torch
from torch import Tensor
from torch.nn import functional as F

_SLOPE = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
_STEEPEST = 20**0.5  # of all patches of 3 x 3 with values in [0, 1]: slopes of 4 and 2


def edges(images: Tensor) -> Tensor:
    """The length of Sobel's gradient (Sobel and Feldman 1968), as a share of the largest that there can be.

    Channels are averaged first; beyond the border the image goes on as it ends, so that a border is no edge.

    Args:
        images: (B, C, H, W) in [0, 1].

    Returns:
        (B, 1, H, W) float32 in [0, 1]: 0 where an image is flat, 0.89 beside a step from black to white.
    """
    gray = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    slope = _SLOPE.to(images.device)
    gradient = F.conv2d(gray, torch.stack([slope, slope.T])[:, None])
    return gradient.square().sum(1, keepdim=True).sqrt() / _STEEPEST
