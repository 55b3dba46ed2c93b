"""Which numbers tell how well class scores fit the labels?"""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from lightning_cv.errors import UserError
from lightning_cv.metrics.mean import wide_dtype
from lightning_cv.metrics.multilabel import MultilabelPrecision, MultilabelScores

NUM_BINS = 15  # of the calibration error, as in Guo et al. 2017
TOP = 5


def classification_metrics(num_classes: int, *, multilabel: bool = False) -> MetricCollection:
    """Return the metrics of a classifier; they take scores (logits) and labels, and give named scalars.

    For one label a sample: `accuracy` (micro, the share of samples that are right; torchmetrics defaults to
    macro, row 200), `top5` where there are more than 5 classes, and `calibration_error`. For multilabel data:
    `accuracy` (micro, over samples and labels), `exact_match`, `f1` and `map` (both macro).

    Args:
        num_classes: number of classes C that the data has, 2 or more; for multilabel data 1 or more.
        multilabel: whether a sample may have any number of labels at once.
    """
    if num_classes < (1 if multilabel else 2):
        raise UserError(f"num_classes is {num_classes}; allowed: 2 or more, for multilabel data 1 or more")
    metrics: dict[str, Metric | MetricCollection]
    if multilabel:
        metrics = {"scores": MultilabelScores(num_classes), "map": MultilabelPrecision(num_classes)}
    else:
        metrics = {"scores": ClassScores(num_classes)}
    # Groups would compare states at the first update to find metrics that could share them; none can.
    return MetricCollection(metrics, compute_groups=False)


def confusion_matrix(num_classes: int) -> Metric:
    """Return the metric that counts labels against predictions: (C, C) int64, rows are labels.

    It takes what the others take and stands apart since it is a picture, not a scalar.
    """
    return ConfusionMatrix(num_classes)


class ClassScores(Metric):
    """Micro accuracy, top-5 accuracy and calibration error from one pass over the scores.

    States are sums, so values are exact over ragged batches and devices (row 8), and an update never waits
    for the device. The calibration error is ECE = sum_m |B_m|/n |acc(B_m) - conf(B_m)| over 15 equal bins of
    confidence, each open at its left end (Guo et al. 2017, eq. 3).

    Args:
        num_classes: number of classes C, 2 or more; top-5 is left out up to 5.
    """

    full_state_update = False
    in_top: Tensor
    bins: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("in_top", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # One row each: samples, right ones, sum of confidences.
        self.add_state("bins", torch.zeros(3, NUM_BINS, dtype=wide_dtype()), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch: scores (B, C), or of two classes (B, 1) or (B,); labels (B,), or soft (B, C)."""
        scores, labels = _columns(scores), _indices(labels)
        confidence, predicted = scores.float().softmax(1).max(1)
        right = predicted == labels
        place = (confidence * NUM_BINS).ceil().long().sub_(1).clamp_(0, NUM_BINS - 1)
        added = torch.stack([torch.ones_like(confidence), right.to(confidence.dtype), confidence])
        self.bins.index_add_(1, place, added.to(self.bins.dtype))
        if self.num_classes > TOP:
            self.in_top += (scores.topk(TOP, dim=1).indices == labels[:, None]).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return float32 scalars in [0, 1]: `accuracy`, `calibration_error` and, above 5 classes, `top5`."""
        count, correct, confidence = self.bins
        total = count.sum()
        values = {
            "accuracy": (correct.sum() / total).float(),
            "calibration_error": ((correct - confidence).abs().sum() / total).float(),
        }
        if self.num_classes > TOP:
            values["top5"] = (self.in_top / total).float()
        return values


class ConfusionMatrix(Metric):
    """Counts of each label (row) predicted as each class (column), without waiting for the device.

    Args:
        num_classes: number of classes C.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(num_classes**2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch: scores (B, C), or of two classes (B, 1) or (B,); labels (B,), or soft (B, C)."""
        cells = _indices(labels) * self.num_classes + _columns(scores).argmax(1)
        self.counts.index_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> Tensor:
        """Return the counts (C, C) int64."""
        return self.counts.view(self.num_classes, self.num_classes)


def _columns(scores: Tensor) -> Tensor:
    """Return (B, C) scores; one score s of two classes is (0, s), whose softmax is the sigmoid of s."""
    if scores.ndim == 1 or scores.shape[1] == 1:
        scores = scores.reshape(-1, 1)
        return torch.cat([torch.zeros_like(scores), scores], dim=1)
    return scores


def _indices(labels: Tensor) -> Tensor:
    """Return (B,) class indices; of soft labels (B, C), as mixup makes them, the largest."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(1)
    return labels.reshape(-1).long()
