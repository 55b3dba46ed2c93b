"""The U-Net: down to what, up to where, and what was seen on the way down beside it on the way up."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError

Border = Literal["zero", "mirror"]


class UNet(nn.Module):
    """U-Net as published (Ronneberger et al. 2015; row 217): 31,030,658 parameters for 1 channel and 2 classes.

    In the paper convolutions have no padding: the scores are those of the middle of the image (388 pixels of 572), and
    a large image is cut into tiles with the pixels around each, mirrored at the border of the image. `border: mirror`
    does this: the image is mirrored outwards by as much as the convolutions take away, so that scores are as large as
    the image, and those of a tile equal those of the whole image wherever the pixels around it were given. With `zero`
    convolutions are padded with 0, as is common; it costs less.

    Args:
        num_classes: number of scores a pixel.
        in_channels: of the images.
        width: channels of the first level; each further one has twice as many.
        levels: sizes at which the image is seen, 2 or more; the last is 2^(levels - 1) times smaller.
        border: see above.
        batch_norm: put a batch norm behind each 3 x 3 convolution (not in the paper, which had one image a step).
        dropout: of the deepest level, in [0, 1).
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 64, 64)

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 1,
        *,
        width: int = 64,
        levels: int = 5,
        border: Border = "zero",
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if levels < 2 or width < 1:
            raise UserError(f"UNet: levels {levels}, width {width} given, allowed: 2 or more, 1 or more")
        widths = [width * 2**level for level in range(levels)]
        padding = 1 if border == "zero" else 0
        pairs = zip([in_channels, *widths], widths, strict=False)
        self.down = nn.ModuleList([_double(into, out, padding, batch_norm) for into, out in pairs])
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        shallower = widths[-2::-1]
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in shallower])
        self.merge = nn.ModuleList([_double(2 * w, w, padding, batch_norm) for w in shallower])
        self.head = nn.Conv2d(width, num_classes, 1)
        self.border: Border = border

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to scores (B, num_classes, H, W).

        With `border: zero` H and W are multiples of 2^(levels - 1).
        """
        height, width = images.shape[-2:]
        if self.border == "mirror":
            (top, bottom), (left, right) = self._margins(height), self._margins(width)
            images = mirrored(images, (left, right, top, bottom))
        return self._scores(images)[..., :height, :width]

    def _scores(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            seen.append(x)
        x = self.dropout(seen.pop())
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            beside = _middle(seen.pop(), (x.shape[-2], x.shape[-1]))
            x = merge(torch.cat([beside, x], dim=1))
        scores: Tensor = self.head(x)
        return scores

    def _margins(self, size: int) -> tuple[int, int]:
        """How many pixels before and behind `size` ones give at least as many scores.

        A size fits if it stays even wherever it is halved. Scores lie in its middle: what is taken away is shared
        evenly, so that the first score is that of the first pixel.
        """
        deepest = 1
        while True:
            taken, wanted = deepest, deepest
            for _ in self.up:
                taken = 2 * taken - 4  # scores: up, then two convolutions
            for _ in self.down[1:]:
                wanted = 2 * (wanted + 4)  # input: two convolutions, and twice as large before
            wanted += 4
            if taken >= size:
                before = (wanted - taken) // 2
                return before, wanted - size - before
            deepest += 1


def mirrored(images: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Images with margins (left, right, top, bottom) in which they are mirrored, as often as needed.

    torch's reflection ends where the image does; this one turns round there. The outermost pixel is not repeated.
    """
    left, right, top, bottom = margins
    rows = _reflected(images.shape[-2], top, bottom).to(images.device)
    columns = _reflected(images.shape[-1], left, right).to(images.device)
    return images[..., rows[:, None], columns]


def _reflected(size: int, before: int, behind: int) -> Tensor:
    period = max(1, 2 * (size - 1))
    places = torch.arange(-before, size + behind).remainder(period)
    return torch.where(places < size, places, period - places)


def _double(into: int, out: int, padding: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (into, out):
        layers.append(nn.Conv2d(channels, out, 3, padding=padding, bias=not batch_norm))
        nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")  # type: ignore[arg-type]  # a Tensor
        layers += [nn.BatchNorm2d(out)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _middle(maps: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = (maps.shape[-2] - size[0]) // 2, (maps.shape[-1] - size[1]) // 2
    return maps[..., top : top + size[0], left : left + size[1]]
