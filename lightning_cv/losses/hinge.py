"""What is the multiclass SVM hinge loss?"""

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.errors import UserError


def multiclass_hinge(scores: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
    """Mean over the batch of sum_{j != y} max(0, s_j - s_y + margin) (Weston and Watkins 1999; row 7).

    torch's MultiMarginLoss divides that sum by the number of classes C; this does not, so that equal scores
    cost (C - 1) margin.

    Args:
        scores: (B, C) class scores.
        labels: (B,) int64 class indices.
        margin: by how much the true class must win, > 0.

    Returns:
        Scalar, 0 where every true class wins by the margin.

    Raises:
        UserError: labels that are not class indices, such as those that mixup makes.
    """
    if labels.ndim != 1 or labels.is_floating_point():
        given = f"labels are {labels.dtype} of shape {tuple(labels.shape)}"
        raise UserError(f"MulticlassHinge: {given}; allowed: class indices (B,) int64, so no mixup or cutmix")
    return F.multi_margin_loss(scores, labels, margin=margin) * scores.shape[1]


class MulticlassHinge(nn.Module):
    """`multiclass_hinge` for a recipe (row 7).

    Args:
        margin: by how much the true class must win, > 0.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise UserError(f"MulticlassHinge: margin is {margin}; allowed: above 0")
        self.margin = margin

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of scores (B, C) at labels (B,)."""
        return multiclass_hinge(scores, labels, margin=self.margin)
