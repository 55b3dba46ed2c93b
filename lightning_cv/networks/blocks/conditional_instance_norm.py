"""How does one network paint in several styles?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError


class ConditionalInstanceNorm2d(nn.Module):
    """Instance norm with a scale and a shift for each channel and style; all else is shared by the styles (row 74).

    Dumoulin, Shlens and Kudlur 2017, eq. 5. A style adds 2 C parameters; a mixture of styles is the mixture of theirs.

    Args:
        channels: C.
        num_styles: 1 or more.
        eps: added to the variance.

    Raises:
        UserError: no style.
    """

    def __init__(self, channels: int, num_styles: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        if num_styles < 1:
            raise UserError(f"ConditionalInstanceNorm2d: num_styles is {num_styles}; allowed: 1 or more")
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(num_styles, channels))
        self.shift = nn.Parameter(torch.zeros(num_styles, channels))

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:
        """Normalize (B, C, H, W) in the style of each image.

        Args:
            features: (B, C, H, W).
            styles: (B,) int64, or (B, num_styles) float: the share of each style.
        """
        shares = styles if styles.is_floating_point() else F.one_hot(styles, len(self.scale)).to(features.dtype)
        scale, shift = shares @ self.scale, shares @ self.shift
        return F.instance_norm(features, eps=self.eps) * scale[:, :, None, None] + shift[:, :, None, None]
