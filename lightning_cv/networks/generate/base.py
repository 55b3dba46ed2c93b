"""What do all networks with a distribution of images share, and what those that factorize it?"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Density, Draws
from lightning_cv.errors import UserError
from lightning_cv.ops.levels import from_levels, log_prob_of, pick, to_levels


class Generative(nn.Module, ABC):
    """A network that keeps the contract of `lightning_cv.contracts.GenerativeNetwork`.

    Args:
        image: (C, H, W) of the images.
        levels: values that a pixel can take, 2 or more; None: real numbers.
        num_classes: learns p(x | label) of so many classes; None: p(x).
    """

    density: Density
    nll_terms: tuple[str, ...] = ()

    def __init__(self, image: tuple[int, int, int], *, levels: int | None, num_classes: int | None) -> None:
        super().__init__()
        check_image(image)
        check_at_least("levels", levels, 2)
        check_at_least("num_classes", num_classes, 1)
        self.image = image
        self.levels = levels
        self.num_classes = num_classes

    @property
    def num_values(self) -> int:
        """D, how many numbers an image has: C x H x W."""
        return math.prod(self.image)

    def forward(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """See `loss_terms`; as `forward`, so that what compiles or shards a network sees its training."""
        return self.loss_terms(images, labels, draws)

    @abstractmethod
    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Named losses of images (B, C, H, W) in [0, 1]; see `GenerativeNetwork`."""

    @abstractmethod
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]; see `GenerativeNetwork`."""


class Autoregressive(Generative):
    """p(x) = prod p(x_i | x_<i), exactly (row 232): pixels row by row, and of each pixel its channels in order.

    An author writes `scores`, and where it can be done faster than by a full pass a value, `draw_values`. The values
    may also be codes out of a book, of an image with one channel; then there may be a `context`.

    Attributes:
        context_channels: of the context; 0: the network takes none.
    """

    density = Density.TRACTABLE
    nll_terms = ("nll",)
    levels: int
    context_channels: int = 0

    @abstractmethod
    def scores(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Scores (B, L, C, H, W) of what each value is, from those before it alone.

        Args:
            values: (B, C, H, W) int64 in [0, L).
            labels: (B,) int64 where the network is conditional.
            context: (B, `context_channels`, H, W) of whatever else is known, where the network takes any.
        """

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`nll` (B,) in nats."""
        return {"nll": -self.log_prob(images, labels)}

    def other_terms(self, labels: Tensor | None) -> Mapping[str, Tensor]:
        """Named losses (B,) of what is not the values: none, where an author writes none."""
        return {}

    def log_prob(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32, log p(x) in nats of images (B, C, H, W) in [0, 1]."""
        return self.log_prob_of_values(to_levels(images, self.levels), labels)

    def log_prob_of_values(self, values: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B,) float32, log p(values) in nats of (B, C, H, W) int64."""
        return log_prob_of(self.scores(values, labels, context), values)

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]."""
        return from_levels(self.sample_values(draws, labels), self.levels)

    @torch.no_grad()
    def sample_values(self, draws: Draws, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """New values (B, C, H, W) int64 in [0, L), one uniform number each."""
        channels, height, width = self.image
        uniform = draws.uniform(height, width, channels).permute(0, 3, 1, 2)
        return self.draw_values(uniform, labels, context)

    def values_of_caption(self, draws: Draws, caption: str) -> Tensor:
        """New values (B, C, H, W) int64 of what a text says.

        Raises:
            UserError: the network reads none, or not this one.
        """
        raise UserError(f"caption {caption!r}: {type(self).__name__} reads no text; allowed: CaptionedCodes")

    def in_order(self, values: Tensor) -> Tensor:
        """(B, D) of (B, C, H, W): row by row, and the channels of a pixel follow each other."""
        return values.permute(0, 2, 3, 1).flatten(1)

    def in_image(self, ordered: Tensor) -> Tensor:
        """The way back: (B, C, H, W) of (B, D), and (B, L, C, H, W) of (B, D, L)."""
        channels, height, width = self.image
        placed = ordered.unflatten(1, (height, width, channels))
        return placed.permute(0, 3, 1, 2) if placed.ndim == 4 else placed.permute(0, 4, 3, 1, 2)

    def draw_values(self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """The values (B, C, H, W) that uniform numbers (B, C, H, W) lead to."""
        return self.draw_by_full_passes(uniform, labels, context)

    @torch.no_grad()
    def draw_by_full_passes(
        self, uniform: Tensor, labels: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """The same by `scores` of the whole image for each value: slow, and what `draw_values` must agree with."""
        values = torch.zeros(uniform.shape, dtype=torch.int64, device=uniform.device)
        channels, height, width = self.image
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    place = (..., channel, row, column)
                    values[place] = pick(self.scores(values, labels, context)[place], uniform[place])
        return values


def check_image(image: tuple[int, int, int]) -> None:
    """Refuse a size that is none.

    Raises:
        UserError: names the key and what is allowed.
    """
    if len(image) != 3 or min(image) < 1:
        raise UserError(f"network: image is {list(image)}; allowed: [channels, height, width], each 1 or more")


def check_at_least(name: str, value: int | None, least: int) -> None:
    """Refuse a number that is too small.

    Raises:
        UserError: names the key and what is allowed.
    """
    if value is not None and value < least:
        raise UserError(f"network: {name} is {value}; allowed: {least} or more")


def check_labels(labels: Tensor | None, num_classes: int | None) -> None:
    """Refuse labels that are missing, or given in vain.

    Raises:
        UserError: says which.
    """
    if num_classes is None and labels is not None:
        raise UserError("the network is not conditional: it takes no class")
    if num_classes is not None and labels is None:
        raise UserError(f"the network is conditional: give the class of each image, 0 to {num_classes - 1}")
