"""SegNet: an encoder that halves the image, and a decoder that mirrors it, with every way to make maps larger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError
from lightning_cv.ops.unpool import bed_of_nails

Unpooling = Literal["max", "transposed", "bed_of_nails", "nearest", "bilinear", "bicubic"]


class SegNet(nn.Module):
    """SegNet (Badrinarayanan et al. 2017): the thirteen convolutions of VGG-16, and their mirror image (row 209).

    Args:
        num_classes: number of scores a pixel.
        in_channels: of the images.
        widths: channels of each level; the image is halved behind each.
        convolutions: of each level.
        unpooling: how maps become twice as large. `max`: each value where the largest was when the encoder pooled, as
            in the paper (row 212). `transposed`: a learned transposed convolution (row 213). `bed_of_nails`: at the
            upper left of four (row 210). `nearest`, `bilinear`, `bicubic`: interpolation (row 211).
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
        unpooling: Unpooling = "max",
    ) -> None:
        super().__init__()
        if len(widths) != len(convolutions) or not widths or min(*widths, *convolutions) < 1:
            raise UserError(
                f"SegNet widths: {list(widths)}, convolutions: {list(convolutions)} given, allowed: as many of both, "
                "1 or more each"
            )
        if unpooling not in get_args(Unpooling):
            raise UserError(f"SegNet unpooling: {unpooling} given, allowed: {', '.join(get_args(Unpooling))}")
        self.unpooling: Unpooling = unpooling
        levels = list(zip([in_channels, *widths], widths, convolutions, strict=False))
        self.encoder = nn.ModuleList([_level([into, *[out] * count]) for into, out, count in levels])
        mirrored = levels[:0:-1]
        self.decoder = nn.ModuleList([_level([*[out] * count, into]) for into, out, count in mirrored])
        last = widths[0]
        self.decoder.append(_level([last] * convolutions[0]))
        self.head = nn.Conv2d(last, num_classes, 3, padding=1)
        self.learned = nn.ModuleList(
            [nn.ConvTranspose2d(w, w, 2, stride=2) for w in reversed(widths)] if unpooling == "transposed" else []
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W), H and W multiples of 2^levels, to scores (B, num_classes, H, W)."""
        x = images
        pooled: list[Tensor] = []
        for level in self.encoder:
            x, indices = F.max_pool2d(level(x), 2, return_indices=True)
            pooled.append(indices)
        for number, level in enumerate(self.decoder):
            x = level(self._enlarged(x, pooled.pop(), number))
        scores: Tensor = self.head(x)
        return scores

    def _enlarged(self, x: Tensor, indices: Tensor, number: int) -> Tensor:
        match self.unpooling:
            case "max":
                return F.max_unpool2d(x, indices, [2, 2])
            case "transposed":
                learned: Tensor = self.learned[number](x)
                return learned
            case "bed_of_nails":
                return bed_of_nails(x)
            case "nearest":
                return F.interpolate(x, scale_factor=2.0, mode="nearest")
            case _:
                return F.interpolate(x, scale_factor=2.0, mode=self.unpooling, align_corners=False)


def _level(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layer = nn.Conv2d(into, out, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        layers += [layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
