"""The multiclass hinge is the course's sum over the other classes."""

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.losses import MulticlassHinge, multiclass_hinge
from tests.tolerances import assert_close

SCORES = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 2])


def brute_force(scores: np.ndarray, labels: np.ndarray, margin: float) -> float:
    losses = []
    for row, label in zip(scores, labels, strict=True):
        losses.append(sum(max(0.0, s - row[label] + margin) for j, s in enumerate(row) if j != label))
    return float(np.mean(losses))


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_it_is_the_sum_over_the_other_classes(margin):
    """row 7: equal to a loop over samples and classes, for any margin."""
    expected = brute_force(SCORES.numpy(), LABELS.numpy(), margin)
    assert_close(multiclass_hinge(SCORES, LABELS, margin=margin), torch.tensor(expected, dtype=torch.float64))


def test_equal_scores_cost_all_other_classes():
    """row 7: zero scores of 10 classes cost 9, where torch's MultiMarginLoss, divided by C, says 0.9."""
    scores, labels = torch.zeros(4, 10), torch.arange(4)
    assert_close(MulticlassHinge()(scores, labels), torch.tensor(9.0))
    assert_close(nn.MultiMarginLoss()(scores, labels), torch.tensor(0.9))


def test_a_won_margin_costs_nothing():
    """row 7: zero loss and zero gradient where every true class wins by more than the margin."""
    scores = (1.5 * torch.eye(5)).requires_grad_()
    loss = MulticlassHinge()(scores, torch.arange(5))
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


def test_its_gradient_is_right():
    """row 9: gradcheck passes in float64 away from the kinks, which random scores hit with probability 0."""
    assert torch.autograd.gradcheck(lambda s: multiclass_hinge(s, LABELS), SCORES.clone().requires_grad_())


@pytest.mark.parametrize("labels", [torch.full((7, 5), 0.2), LABELS.float(), LABELS[:, None]])
def test_soft_labels_are_refused(labels):
    """row 7: labels that are not class indices, as mixup makes them, are named."""
    with pytest.raises(UserError, match=r"MulticlassHinge: labels are .*; allowed: class indices"):
        MulticlassHinge()(SCORES, labels)


def test_a_margin_must_be_positive():
    """row 7: a margin that asks for nothing is refused."""
    with pytest.raises(UserError, match="margin is 0; allowed: above 0"):
        MulticlassHinge(margin=0)


def test_a_recipe_reaches_it():
    """row 7: the class path and its margin build the loss."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=nn.Module)
    loss = {"class_path": "lightning_cv.losses.MulticlassHinge", "init_args": {"margin": 2.0}}
    built = parser.instantiate(parser.parse_object({"loss": loss})).loss
    assert_close(built(torch.zeros(2, 3), torch.tensor([0, 1])), torch.tensor(4.0))
