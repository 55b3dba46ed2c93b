"""What is the loss of independent yes-or-no scores, one or many a sample?"""

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError


def binary_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over all scores of -(y log p + (1 - y) log(1 - p)) with p = sigmoid(score) (row 5).

    torch's `binary_cross_entropy_with_logits`, which wants float targets of the shape of the scores, for the
    labels that data sets give.

    Args:
        scores: (B, C) scores of C independent labels, or (B, 1) or (B,) scores of one.
        targets: (B, C) in [0, 1], 1 where the label applies; for one score a sample also (B,), such as the
            class indices 0 and 1.

    Raises:
        UserError: shapes that do not match, such as class indices for many labels.
    """
    one_each = {tuple(scores.shape), tuple(targets.shape)} <= {scores.shape[:1], (*scores.shape[:1], 1)}
    if scores.shape != targets.shape and not one_each:
        given = f"labels of shape {tuple(targets.shape)} for scores of shape {tuple(scores.shape)}"
        raise UserError(f"BinaryCrossEntropy: {given}; allowed: (B, C) for (B, C), or (B,) for num_classes: 1")
    targets = targets if targets.is_floating_point() else targets.to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, targets.reshape(scores.shape))


class BinaryCrossEntropy(nn.Module):
    """`binary_cross_entropy` for a recipe: multilabel data, or two classes and one score (row 5)."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of scores (B, C), (B, 1) or (B,) at targets (B, C) or (B,)."""
        return binary_cross_entropy(scores, targets)
