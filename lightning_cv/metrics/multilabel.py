"""Which numbers tell how well independent label scores fit?"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MultilabelAveragePrecision
from torchmetrics.functional.classification import multilabel_average_precision
from torchmetrics.utilities import dim_zero_cat

from lightning_cv.metrics.mean import wide_dtype


class MultilabelScores(Metric):
    """Micro accuracy, exact match and macro F1 at the threshold 0.5 of each label's probability.

    A label counts as present from a target of 0.5 on. F1 of a label that is neither present nor predicted
    anywhere counts as 0, as in scikit-learn.

    Args:
        num_labels: number of labels C.
    """

    full_state_update = False
    count: Tensor
    exact: Tensor
    outcomes: Tensor

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("exact", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # One row each, by label: true positives, predicted ones, present ones, wrong ones.
        self.add_state("outcomes", torch.zeros(4, num_labels, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Add a batch of scores (B, C) and targets (B, C) in [0, 1]."""
        predicted, present = scores > 0, targets >= 0.5
        wrong = predicted != present
        self.count += len(scores)
        self.exact += (~wrong).all(1).sum()
        self.outcomes += torch.stack([predicted & present, predicted, present, wrong]).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """Return float32 scalars in [0, 1]: `accuracy`, `exact_match`, `f1`."""
        true_positives, predicted, present, wrong = self.outcomes.to(wide_dtype())
        f1 = 2 * true_positives / (predicted + present).clamp(min=1)
        return {
            "accuracy": (1 - wrong.mean() / self.count).float(),
            "exact_match": (self.exact / self.count).float(),
            "f1": f1.mean().float(),
        }


class MultilabelPrecision(MultilabelAveragePrecision):
    """Mean over labels of the area under the precision-recall curve, exact: it keeps all scores.

    torchmetrics applies the sigmoid only to a batch that has a score outside [0, 1]: here always. Labels that
    are never present are left out of the mean.

    Args:
        num_labels: number of labels C.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, average="macro", validate_args=False)

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Add a batch of scores (B, C) and targets (B, C) in [0, 1]."""
        super().update(scores.float().sigmoid(), (targets >= 0.5).long())

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        """Return a float32 scalar in [0, 1]; NaN where no label is present. torchmetrics counts absent ones as 0."""
        scores, targets = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        present = targets.any(0)
        found = multilabel_average_precision(
            scores[:, present], targets[:, present], num_labels=int(present.sum()), validate_args=False
        )
        return found if present.any() else torch.full_like(found, torch.nan)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the scores of all devices; one without any takes part with none of the same form.

        torchmetrics would send a flat float tensor for scores and targets alike, which ends the others' processes.
        """
        if not self.preds:
            scores = torch.empty(0, self.num_labels, device=self.device)
            self.preds, self.target = [scores], [scores.long()]
        super().sync(*args, **kwargs)
