"""What does a linear classifier make of fixed features?"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Batches
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.fitted import Fitted, features_of
from lightning_cv.networks.classical.pixels import Pixels


class LinearOnFeatures(Fitted):
    """A linear layer over features that are not trained: with a hinge loss the classical support vector machine.

    Each feature is first brought to mean 0 and deviation 1 over the training images; one that never varies is left
    out.

    Args:
        num_classes: number of class scores.
        features: images (B, C, H, W) to features (B, num_features); its weights stay as they are. None: the pixels.

    Raises:
        UserError: features that do not say how many they are (`num_features`).
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    mean: Tensor
    factor: Tensor

    def __init__(self, num_classes: int = 10, *, features: nn.Module | None = None) -> None:
        super().__init__()
        self.features = (features or Pixels()).requires_grad_(False)
        self.head = nn.Linear(number_of_features(self.features), num_classes)
        self.declare("mean", "factor")

    def fit_images(self, batches: Batches) -> None:
        """Fit the features where they need it, and find mean and deviation of each."""
        found = features_of(self.features, batches)
        deviation = found.std(dim=0, correction=0)
        self.find("mean", found.mean(dim=0))
        self.find("factor", torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to class scores (B, num_classes)."""
        self.check_found(self.mean)
        features = self.features(images)
        return self.head((features - self.mean) * self.factor)

    def train(self, mode: bool = True) -> Any:
        """Switch the classifier to training; the features always work as they do in evaluation."""
        super().train(mode)
        self.features.eval()
        return self


def number_of_features(features: nn.Module) -> int:
    """How many features a module gives for an image.

    Raises:
        UserError: it does not say so.
    """
    number = getattr(features, "num_features", None)
    if not isinstance(number, int):
        raise UserError(
            f"features: {type(features).__name__} has no num_features; allowed: a module that says how many"
        )
    return number
