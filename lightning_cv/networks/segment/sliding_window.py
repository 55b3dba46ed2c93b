"""A classifier of patches, asked for every pixel what the middle of the patch around it is."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError

Form = Literal["convolutional", "windows"]


class SlidingWindow(nn.Module):
    """Classification of the middle pixel of a window that slides over the image (Farabet et al. 2013; row 207).

    A patch goes through 3 x 3 convolutions, then through a fully connected layer. Neighbouring windows share nearly all
    of their work: the same weights applied to the whole image at once (the fully connected layer is a convolution as
    large as what it sees) give the same scores, about as many times faster as a window has pixels.

    Args:
        num_classes: number of scores a pixel.
        in_channels: of the images.
        patch_px: side of the window, odd; beyond the image's border there are zeros.
        width: channels of the convolutions.
        depth: number of convolutions, each takes 2 pixels from the side; what is left is 1 or more.
        hidden_width: of the fully connected layer.
        form: `convolutional`: the whole image at once; `windows`: window by window, as drawn in the textbook.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 24, 24)

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        patch_px: int = 15,
        width: int = 24,
        depth: int = 4,
        hidden_width: int = 64,
        form: Form = "convolutional",
    ) -> None:
        super().__init__()
        left = patch_px - 2 * depth
        if patch_px % 2 == 0 or left < 1 or depth < 1:
            raise UserError(
                f"SlidingWindow patch_px: {patch_px}, depth: {depth} given, allowed: an odd side above 2 · depth, "
                "depth 1 or more"
            )
        if form not in get_args(Form):
            raise UserError(f"SlidingWindow form: {form} given, allowed: {', '.join(get_args(Form))}")
        self.patch_px = patch_px
        self.form: Form = form
        layers: list[nn.Module] = []
        for into in [in_channels, *[width] * (depth - 1)]:
            layers += [nn.Conv2d(into, width, 3), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(width, hidden_width, left), nn.ReLU(inplace=True)]
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]  # a Tensor
        self.classify = nn.Sequential(*layers, nn.Conv2d(hidden_width, num_classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to scores (B, num_classes, H, W)."""
        padded = F.pad(images, [self.patch_px // 2] * 4)
        if self.form == "convolutional":
            scores: Tensor = self.classify(padded)
            return scores
        batch, channels, height, width = images.shape
        windows = F.unfold(padded, self.patch_px)  # (B, C · p · p, H · W)
        patches = windows.transpose(1, 2).reshape(-1, channels, self.patch_px, self.patch_px)
        each: Tensor = self.classify(patches)
        return each.view(batch, height * width, -1).transpose(1, 2).reshape(batch, -1, height, width)
