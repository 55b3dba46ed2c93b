"""What do all feature networks share?"""

from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from lightning_cv.contracts import Batches, DataInfo
from lightning_cv.errors import UserError


class Features(nn.Module, ABC):
    """A network that keeps the contract `lightning_cv.contracts.FeatureNetwork`.

    It is never trained with what it judges, and always in evaluation. Until `fit_images`, or until weights come from a
    checkpoint, it knows nothing.
    """

    num_features: int

    def __init__(self) -> None:
        super().__init__()
        self._is_found = False

    @property
    def name(self) -> str:
        """Which one, for tables."""
        return type(self).__name__

    def fit_images(self, batches: Batches) -> None:
        """Find the weights; `batches` are of the training images, with values in [0, 1]."""
        self.find(batches)
        self.as_found()

    @abstractmethod
    def find(self, batches: Batches) -> None:
        """Find the weights."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(B, D) of images (B, C, H, W) in [0, 1]."""

    @abstractmethod
    def check_data(self, info: DataInfo) -> None:
        """Refuse data that it cannot look at.

        Raises:
            UserError: names what is wrong and what is allowed.
        """

    def forward(self, images: Tensor) -> Tensor:
        """(B, D) float32 of images (B, C, H, W) in [0, 1].

        Raises:
            UserError: it has no weights yet.
        """
        self.check_found()
        return self.features(images.float()).float()

    def check_found(self) -> None:
        """Refuse to judge by weights that mean nothing.

        Raises:
            UserError: there are no others.
        """
        if not self._is_found:
            raise UserError(f"{self.name} has no weights yet: call fit_images, or load them")

    def as_found(self) -> None:
        """Keep the weights as they are from now on."""
        self._is_found = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation."""
        return super().train(False)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.as_found()
