"""Losses that torch lacks or words otherwise; cross-entropy is `torch.nn.CrossEntropyLoss` as it stands."""

from lightning_cv.losses.binary import BinaryCrossEntropy, binary_cross_entropy
from lightning_cv.losses.hinge import MulticlassHinge, multiclass_hinge
from lightning_cv.losses.pixels import Dice, Focal, Lovasz, PixelCrossEntropy
from lightning_cv.losses.squared_error import SquaredError, squared_error

__all__ = [
    "BinaryCrossEntropy",
    "Dice",
    "Focal",
    "Lovasz",
    "MulticlassHinge",
    "PixelCrossEntropy",
    "SquaredError",
    "binary_cross_entropy",
    "multiclass_hinge",
    "squared_error",
]
