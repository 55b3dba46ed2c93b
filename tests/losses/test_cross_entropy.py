"""torch's cross-entropy, used as it stands, is the course's softmax loss for hard and soft labels."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_cv.losses import multiclass_hinge
from tests.tolerances import assert_close

SCORES = torch.randn(8, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 2, 1])


def test_zero_scores_cost_ln_c():
    """row 6: equal scores of C classes cost ln C, with or without label smoothing."""
    for smoothing in (0.0, 0.1):
        loss = nn.CrossEntropyLoss(label_smoothing=smoothing)(torch.zeros(8, 5), LABELS)
        assert_close(loss, torch.tensor(math.log(5)))


def test_a_constant_added_to_all_scores_changes_nothing():
    """row 6: softmax knows differences only."""
    shifted = F.cross_entropy(SCORES + 7.0, LABELS)
    assert_close(shifted, F.cross_entropy(SCORES, LABELS))


def test_smoothing_of_mixed_labels_is_linear():
    """rows 6, 42: smoothed mixed labels cost lambda CE_a + (1 - lambda) CE_b, each smoothed."""
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    share, other = 0.3, LABELS.flip(0)
    soft = share * F.one_hot(LABELS, 5).double() + (1 - share) * F.one_hot(other, 5).double()
    assert_close(loss(SCORES, soft), share * loss(SCORES, LABELS) + (1 - share) * loss(SCORES, other))
    log_p = SCORES.log_softmax(1)
    assert_close(loss(SCORES, soft), -((0.9 * soft + 0.1 / 5) * log_p).sum(1).mean())


@pytest.mark.parametrize("loss", [F.cross_entropy, multiclass_hinge], ids=["cross_entropy", "hinge"])
def test_the_mean_over_ragged_batches_is_the_data_set_mean(loss):
    """row 8: batch losses weighted by batch size average to the loss of the whole set."""
    parts = [(loss(s, y), len(y)) for s, y in zip(SCORES.split(3), LABELS.split(3), strict=True)]
    weighted = sum(value * count for value, count in parts) / len(LABELS)
    assert_close(weighted, loss(SCORES, LABELS))
