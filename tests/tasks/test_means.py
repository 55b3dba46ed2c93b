"""Means over samples."""

import math

import numpy as np
import torch

from lightning_cv.tasks.means import SampleMeans, mean_over_devices, window_totals


def test_mean_weighs_every_sample_alike_with_a_ragged_last_batch():
    """Row 8: the mean of the collected batch means equals NumPy's mean over all samples."""
    values = np.random.default_rng(0).normal(size=101).astype(np.float64)
    means = SampleMeans()
    for start in range(0, 101, 16):
        batch = values[start : start + 16]
        means.add_batch(len(batch))
        means.add("loss", torch.tensor(batch.mean()))
    assert math.isclose(mean_over_devices(means.take_totals())["loss"], values.mean(), rel_tol=1e-14)
    assert means.take_totals() == {}


def test_windows_add_up_to_the_epoch():
    """Draining in windows loses nothing: windows and epoch see the same samples."""
    means = SampleMeans()
    window_sums = []
    for step in range(7):
        means.add_batch(step + 1)
        means.add("loss", torch.tensor(float(step)))
        if step % 3 == 2:
            rows, counts = means.drain()
            window_sums.append(window_totals(rows, counts)["loss"])
    total, count = means.take_totals()["loss"]
    assert total == sum(step * (step + 1) for step in range(7))
    assert count == 28
    assert [count for _, count in window_sums] == [6, 15]


def test_values_stay_on_the_graphless_side():
    """Collected values hold no graph: memory does not grow with the window."""
    means = SampleMeans()
    weight = torch.ones((), requires_grad=True)
    means.add_batch(1)
    means.add("loss", weight * 2)
    assert all(not value.requires_grad for column in means._values.values() for value in column)
