"""How does a vector say what a channel looks like, and not where?"""

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.networks.blocks.equalized import EqualizedLinear


class AdaIn(nn.Module):
    """Adaptive instance norm (Huang and Belongie 2017, equation 8; Karras et al. 2019, equation 1; row 250).

    A linear layer makes of the style the deviation and the mean that each channel of an image then has.

    Args:
        channels: C.
        style_width: W, of a style.
        eps: added to the variance.
    """

    def __init__(self, channels: int, style_width: int, *, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps
        self.style = EqualizedLinear(style_width, 2 * channels, gain=1.0)
        nn.init.ones_(self.style.bias[:channels])

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:
        """Give (B, C, H, W) float32 the deviations and means that (B, W) asks for."""
        std, mean = self.style(styles).float()[:, :, None, None].chunk(2, 1)
        return F.instance_norm(features.float(), eps=self.eps) * std + mean
