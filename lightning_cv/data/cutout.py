"""How is a random rectangle of each training image erased?"""

from functools import lru_cache

import torch
from torch import Tensor

from lightning_cv.data.batch_transforms import KeyedTransform, check_probability
from lightning_cv.errors import UserError
from lightning_cv.ops.counter_random import integers, uniform


class Cutout(KeyedTransform):
    """Set one random rectangle of an image to 0, its mean colour once normalized (row 41).

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", with the
    rectangles of Zhong et al., "Random erasing data augmentation": area uniform in `area`, logarithm of the
    aspect ratio uniform, position uniform. The rectangle lies wholly inside the image, and its share of the
    pixels inside `area` exactly: it is drawn from all rectangles (in whole pixels) that do.

    Args:
        area: smallest and largest share of the image that is erased, in (0, 1].
        max_aspect: the longer side is at most this many times the shorter one, 1 or more.
        p: probability that an image is changed, in [0, 1].
    """

    after_normalization = True

    def __init__(self, area: tuple[float, float] = (0.02, 0.33), max_aspect: float = 10 / 3, p: float = 0.5) -> None:
        super().__init__()
        check_probability("Cutout", p)
        if not 0 < area[0] <= area[1] <= 1:
            raise UserError(f"Cutout area: {list(area)} given, allowed: two ascending numbers in (0, 1]")
        if max_aspect < 1:
            raise UserError(f"Cutout max_aspect: {max_aspect} given, allowed: 1 or more")
        self.area = (area[0], area[1])
        self.max_aspect = max_aspect
        self.p = p

    def forward(self, images: Tensor, keys: Tensor) -> Tensor:
        """See `KeyedTransform.forward`; the size stays."""
        height, width = images.shape[-2:]
        sizes = _rectangles((height, width), self.area, self.max_aspect, device=images.device)
        applied, y, x = uniform(keys, 0, 3)
        box_height, box_width = sizes[:, integers(keys, 3, 1, sizes.shape[1])[0]]
        box_height = box_height * (applied < self.p)
        rows = _inside(y, box_height, height)
        columns = _inside(x, box_width, width)
        return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)


def _inside(position: Tensor, length: Tensor, total: int) -> Tensor:
    """(B, total): which pixels lie in an interval of `length` (B,), placed by `position` (B,) in [0, 1)."""
    first = (position * (total - length + 1)).to(torch.int64)[:, None]
    pixels = torch.arange(total, device=length.device)
    return (pixels >= first) & (pixels < first + length[:, None])


@lru_cache(maxsize=16)
def _rectangles(size: tuple[int, int], area: tuple[float, float], max_aspect: float, *, device: torch.device) -> Tensor:
    """Heights and widths (2, n) of all rectangles in whole pixels that are allowed.

    Uniform over these is uniform in area and in the logarithm of the aspect ratio r: h = sqrt(a r) and
    w = sqrt(a / r) give dh dw = da d(log r) / 2.
    """
    heights = torch.arange(1, size[0] + 1, dtype=torch.float64)[:, None]
    widths = torch.arange(1, size[1] + 1, dtype=torch.float64)
    share = heights * widths / (size[0] * size[1])
    aspect = torch.maximum(heights / widths, widths / heights)
    allowed = (share >= area[0]) & (share <= area[1]) & (aspect <= max_aspect)
    if not allowed.any():
        raise UserError(
            f"Cutout area: {list(area)} given, but no rectangle with max_aspect {max_aspect:g} covers such a "
            f"share of {size[0]}x{size[1]} pixels; widen the range"
        )
    return (allowed.nonzero().T + 1).to(device)
