"""The squared error is that of linear regression on one-hot targets."""

import torch
from torch import nn

from lightning_cv.losses import SquaredError
from tests.tolerances import assert_close


def test_it_is_half_of_torchs_summed_over_classes():
    """row 4: 0.5 MSELoss(reduction="sum") of one image, its mean over the batch; labels as indices or vectors."""
    scores, labels = torch.randn(6, 4), torch.randint(4, (6,))
    targets = torch.zeros(6, 4).scatter(1, labels[:, None], 1.0)
    wanted = torch.stack([0.5 * nn.MSELoss(reduction="sum")(s, t) for s, t in zip(scores, targets, strict=True)]).mean()
    assert_close(SquaredError()(scores, labels), wanted)
    assert_close(SquaredError()(scores, targets), wanted)


def test_its_gradient_is_score_minus_target():
    """row 4: for one image s - y."""
    scores = torch.randn(1, 4, requires_grad=True)
    SquaredError()(scores, torch.tensor([2])).backward()
    assert_close(scores.grad, scores.detach() - torch.tensor([[0.0, 0.0, 1.0, 0.0]]))
