"""What is ShuffleNet as first published, with grouped pointwise convolutions?"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError

# Channels of the three stages by number of groups, table 1 of the paper.
_WIDTHS = {1: (144, 288, 576), 2: (200, 400, 800), 3: (240, 480, 960), 4: (272, 544, 1088), 8: (384, 768, 1536)}
_REPEATS = (4, 8, 4)
_STEM = 24


class ShuffleNetV1(nn.Module):
    """Bottlenecks of grouped pointwise and depthwise convolutions with a channel shuffle between (row 91).

    Zhang et al. 2018; 1,865,728 parameters with 3 groups. torchvision has version 2 only.

    Args:
        num_classes: number of class scores.
        in_channels: channels of the images.
        groups: of the pointwise convolutions: 1, 2, 3, 4 or 8.

    Raises:
        UserError: another number of groups.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(self, num_classes: int = 1000, *, in_channels: int = 3, groups: int = 3) -> None:
        super().__init__()
        if groups not in _WIDTHS:
            raise UserError(f"ShuffleNetV1: groups is {groups}; allowed: {', '.join(map(str, _WIDTHS))}")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, _STEM, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(_STEM),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages, channels = [], _STEM
        for width, repeats in zip(_WIDTHS[groups], _REPEATS, strict=True):
            units = []
            for number in range(repeats):
                # The stem has too few channels to be split.
                first_groups = 1 if channels == _STEM else groups
                units.append(_Unit(channels, width, groups=groups, first_groups=first_groups, halves=number == 0))
                channels = width
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to class scores (B, num_classes)."""
        return self.head(self.pool(self.stages(self.stem(images))))


class _Unit(nn.Module):
    """Squeeze in groups, shuffle, filter each channel, expand in groups; beside it the input itself.

    Args:
        in_channels: channels that it gets.
        out_channels: channels that it gives.
        groups: of the pointwise convolutions.
        first_groups: of the first of them.
        halves: half the size, with the averaged input beside the result instead of added to it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, groups: int, first_groups: int, halves: bool) -> None:
        super().__init__()
        squeezed = out_channels // 4
        added = out_channels - in_channels if halves else out_channels
        self.halves = halves
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, squeezed, 1, groups=first_groups, bias=False),
            nn.BatchNorm2d(squeezed),
            nn.ReLU(inplace=True),
            nn.ChannelShuffle(groups),
            nn.Conv2d(squeezed, squeezed, 3, stride=2 if halves else 1, padding=1, groups=squeezed, bias=False),
            nn.BatchNorm2d(squeezed),
            nn.Conv2d(squeezed, added, 1, groups=groups, bias=False),
            nn.BatchNorm2d(added),
        )
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if halves else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H', W')."""
        branch, shortcut = self.branch(maps), self.shortcut(maps)
        return torch.relu(torch.cat([shortcut, branch], dim=1) if self.halves else shortcut + branch)
