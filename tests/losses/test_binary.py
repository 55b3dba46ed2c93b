"""Binary cross-entropy takes labels as data sets give them."""

import math

import pytest
import torch

from lightning_cv.errors import UserError
from lightning_cv.losses import BinaryCrossEntropy, binary_cross_entropy
from tests.tolerances import assert_close

SCORES = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
TARGETS = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]])


def formula(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    terms = []
    for score, target in zip(scores.flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-score))
        terms.append(-(target * math.log(p) + (1 - target) * math.log(1 - p)))
    return torch.tensor(sum(terms) / len(terms), dtype=torch.float64)


def test_zero_scores_cost_ln_2():
    """row 5: a zero start costs ln 2, whatever the labels."""
    loss = BinaryCrossEntropy()(torch.zeros(6, 3), TARGETS)
    assert_close(loss, torch.tensor(math.log(2)))


@pytest.mark.parametrize("targets", [TARGETS, TARGETS.bool(), 0.1 + 0.8 * TARGETS.double()])
def test_it_is_the_formula(targets):
    """row 5: integer, boolean and soft multilabel targets give -(y log p + (1 - y) log(1 - p))."""
    assert_close(binary_cross_entropy(SCORES, targets), formula(SCORES, targets))


@pytest.mark.parametrize("scores", [SCORES[:, 0], SCORES[:, :1]], ids=["flat", "column"])
@pytest.mark.parametrize("targets", [TARGETS[:, 0], TARGETS[:, :1]], ids=["flat", "column"])
def test_one_score_a_sample_takes_class_indices(scores, targets):
    """row 5: one score a sample, (B,) or (B, 1), with labels 0 and 1, (B,) or (B, 1)."""
    assert_close(binary_cross_entropy(scores, targets), formula(scores, targets))


def test_soft_targets_keep_their_precision():
    """row 5: targets in float32 are not rounded to the bfloat16 of the scores."""
    targets = torch.full((64, 3), 0.3001)
    scores = torch.full((64, 3), 2.0, dtype=torch.bfloat16)
    exact = formula(scores.double(), targets.double())
    rounded = formula(scores.double(), targets.bfloat16().double())
    assert abs(binary_cross_entropy(scores, targets) - exact) < 0.1 * abs(rounded - exact)


def test_its_gradient_is_right():
    """row 9: gradcheck passes in float64."""
    assert torch.autograd.gradcheck(lambda s: binary_cross_entropy(s, TARGETS), SCORES.clone().requires_grad_())


@pytest.mark.parametrize(
    ("scores", "targets"),
    [(SCORES, TARGETS[:, 0]), (SCORES, TARGETS.T), (SCORES[:, 0], TARGETS), (SCORES[:1, :], TARGETS[:1].T)],
)
def test_shapes_that_do_not_match_are_named(scores, targets):
    """row 5: class indices for many scores, or transposed targets, are refused with both shapes."""
    with pytest.raises(UserError, match="BinaryCrossEntropy: labels of shape"):
        binary_cross_entropy(scores, targets)
