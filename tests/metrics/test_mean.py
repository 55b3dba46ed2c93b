"""The mean of a data set does not depend on how it is cut into batches."""

import pytest
import torch
from torchmetrics import MeanMetric

from lightning_cv.metrics import DatasetMean
from tests.tolerances import assert_close

VALUES = torch.rand(1001, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1001])
def test_batches_of_any_size_give_the_whole_mean(batch_size):
    """row 8: batch means weighted by batch size, a ragged last batch included, average to the whole mean."""
    mean = DatasetMean()
    for batch in VALUES.split(batch_size):
        mean.update(batch.mean(), len(batch))
    assert_close(mean.compute(), VALUES.mean().float())


def test_it_does_not_drift():
    """row 8: after 2^24 samples, single samples still count, which a sum in float32 (torchmetrics') loses."""
    ours, theirs = DatasetMean(), MeanMetric()
    for mean in (ours, theirs):
        mean.update(torch.tensor(1.0), 2.0**24)
        for _ in range(64):
            mean.update(torch.tensor(2.0**16), 1.0)
            mean.update(torch.tensor(0.0), 1.0)
    exact = (2**24 + 64 * 2**16) / (2**24 + 128)
    assert_close(ours.compute().double(), torch.tensor(exact).double().float().double())
    assert abs(theirs.compute() - exact) > abs(ours.compute() - exact)


def test_two_devices_make_one_data_set():
    """row 8: parts of unequal size on two devices merge into the mean of the whole."""
    first, second = DatasetMean(), DatasetMean()
    first.update(VALUES[:100].mean(), 100)
    second.update(VALUES[100:].mean(), 901)
    first.merge_state(second)
    assert_close(first.compute(), VALUES.mean().float())


def test_a_loss_that_is_not_finite_shows():
    """row 8: NaN is not skipped, so a curve shows it."""
    mean = DatasetMean()
    mean.update(torch.tensor(float("nan")), 1)
    mean.update(torch.tensor(1.0), 1)
    assert mean.compute().isnan()


def test_it_keeps_no_graph():
    """row 8: adding a loss does not hold on to what it was computed from."""
    mean = DatasetMean()
    mean.update(torch.ones((), requires_grad=True) * 2, 3)
    assert not mean.total.requires_grad
