"""How are whole batches of training images flipped and cropped on the device, with a draw for each sample?"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.ops.counter_random import integers, uniform


class KeyedTransform(nn.Module, ABC):
    """A transform of training batches whose draws come from one key a sample.

    Attributes:
        after_normalization: works on normalized images; else it runs on uint8 images before normalization
            (unless the recipe lists it behind one that works on normalized images).
    """

    after_normalization: bool = False

    @abstractmethod
    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """Change each image as its key says.

        Args:
            images: (B, C, H, W) uint8, or float32 once normalized.
            keys: (B,) int64, see `ops.counter_random`.

        Returns:
            (B, C, H', W') of the same dtype.
        """


class RandomHorizontalFlip(KeyedTransform):
    """Mirror each image left to right with probability p (row 35).

    Args:
        p: probability, in [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_probability("RandomHorizontalFlip", p)
        self.p = p

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `KeyedTransform.forward`; the size stays."""
        flipped = (uniform(keys, 0)[0] < self.p).to(torch.int64)
        # One gather of whole images from both versions is 4 times faster on a CPU than torch.where.
        both = torch.stack((images, images.flip(-1))).flatten(0, 1)
        num_images = len(images)
        return both.index_select(0, torch.arange(num_images, device=images.device) + flipped * num_images)


class RandomCrop(KeyedTransform):
    """Shift each image by up to `padding` pixels in both directions; what comes in is 0 (row 36).

    This is the crop at the original size out of the zero-padded image of He et al., "Deep residual learning
    for image recognition", section 4.2. Before normalization 0 is black; behind a transform that works on
    normalized images it is the mean colour.

    Args:
        padding: largest shift in pixels, 1 or more.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        if padding < 1:
            raise UserError(f"RandomCrop padding: {padding} given, allowed: 1 or more")
        self.padding = padding

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `KeyedTransform.forward`; the size stays."""
        height, width = images.shape[-2:]
        padded_width = width + 2 * self.padding
        padded = F.pad(images, (self.padding,) * 4).flatten(2)
        top, left = integers(keys, 0, 2, 2 * self.padding + 1)
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        window = (rows[:, None] * padded_width + columns).flatten()
        pixels = (top * padded_width + left)[:, None] + window
        return padded.gather(2, pixels[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def check_probability(name: str, p: float) -> None:
    """Refuse what is no probability.

    Raises:
        UserError: `p` is outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise UserError(f"{name} p: {p} given, allowed: 0 to 1")
