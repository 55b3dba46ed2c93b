"""What is the exact mean over a data set of values that come batch by batch?"""

import torch
from torch import Tensor
from torchmetrics import Metric


def wide_dtype() -> torch.dtype:
    """Return float64, or float32 where Apple's GPU is present, which has no float64."""
    return torch.float32 if torch.backends.mps.is_available() else torch.float64


class DatasetMean(Metric):
    """Mean of batch means weighted by batch size, exact over ragged batches and devices (row 8).

    Sums in float64, where torchmetrics' MeanMetric adds in float32 and looks for NaN at every update, which
    waits for the device. A value that is not finite makes the mean so.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=wide_dtype()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=wide_dtype()), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: float) -> None:
        """Add a batch: its mean, a scalar, and its size."""
        self.total += value.to(self.total.dtype) * weight
        self.count += weight

    def compute(self) -> Tensor:
        """Return the scalar mean over everything that was added, in float32; NaN if nothing was."""
        return (self.total / self.count).float()
