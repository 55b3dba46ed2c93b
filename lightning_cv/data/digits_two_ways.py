"""Digits of two kinds, of which no image of one belongs to one of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.digits import Digits
from lightning_cv.data.options import check_option
from lightning_cv.data.splits import ResidentSplit

Way = Literal["inverted", "colored"]
_COLORS = torch.tensor([[255, 64, 64], [64, 255, 64], [96, 96, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]])


class DigitsTwoWays(Digits):
    """The digits as they are, and other ones changed: two kinds of images without pairs, of different numbers.

    Three of five digits are the class `plain`; two of five, other ones, are the class `inverted` (black on white) or
    `colored` (each in one of six colours).

    Args:
        way: what is done to the second kind.
        options: see `Digits`; coloured ones need 3 channels.
    """

    def __init__(self, way: Way = "inverted", **options: Any) -> None:
        super().__init__(**options)
        check_option("way", way, ", ".join(get_args(Way)), way in get_args(Way))
        check_option("channels", self.channels, "3 for colored", way == "inverted" or self.channels == 3)
        self.way = way

    def load(self, stage: Stage) -> ResidentSplit:
        """One part of the digits; which are changed follows from their place in it."""
        digits = super().load(stage)
        place = torch.arange(len(digits.images))
        is_second = place % 5 >= 3
        changed = 255 - digits.images
        if self.way == "colored":
            colors = _COLORS[place % len(_COLORS)][:, :, None, None]
            changed = (digits.images.long() * colors / 255).round().to(torch.uint8)
        images = torch.where(is_second[:, None, None, None], changed, digits.images)
        return replace(digits, images=images, labels=is_second.long(), class_names=("plain", self.way))
