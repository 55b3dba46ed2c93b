"""Losses that torch lacks or words otherwise; cross-entropy is `torch.nn.CrossEntropyLoss` as it stands."""

from lightning_cv.losses.adversarial import (
    AdversarialHinge,
    AdversarialLoss,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    gradient_penalty,
    r1_penalty,
)
from lightning_cv.losses.binary import BinaryCrossEntropy, binary_cross_entropy
from lightning_cv.losses.hinge import MulticlassHinge, multiclass_hinge
from lightning_cv.losses.pixels import Dice, Focal, Lovasz, PixelCrossEntropy
from lightning_cv.losses.squared_error import SquaredError, squared_error

__all__ = [
    "AdversarialHinge",
    "AdversarialLoss",
    "BinaryCrossEntropy",
    "Dice",
    "Focal",
    "Lovasz",
    "Minimax",
    "MulticlassHinge",
    "LeastSquares",
    "NonSaturating",
    "PixelCrossEntropy",
    "SquaredError",
    "Wasserstein",
    "binary_cross_entropy",
    "gradient_penalty",
    "multiclass_hinge",
    "r1_penalty",
    "squared_error",
]
