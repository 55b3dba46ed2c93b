"""What is known of a network by whose features sets of images are compared?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from lightning_cv.contracts.core import DataInfo


class FeatureNetwork(Protocol):
    """What turns images into vectors in which sets of images are compared; `FitsImages` finds its weights.

    Args:
        name: which one, for tables: scores of two are not comparable.
        num_features: D.
    """

    name: str
    num_features: int

    def __call__(self, images: Tensor) -> Tensor:
        """(B, D) float32 of images (B, C, H, W) in [0, 1]."""
        ...

    def check_data(self, info: DataInfo) -> None:
        """Refuse data that it cannot look at.

        Raises:
            UserError: names what is wrong and what is allowed.
        """
        ...


@runtime_checkable
class Recognizes(Protocol):
    """A feature network that is a classifier too."""

    def scores(self, images: Tensor) -> Tensor:
        """(B, K) float32, logits of images (B, C, H, W) in [0, 1]."""
        ...
