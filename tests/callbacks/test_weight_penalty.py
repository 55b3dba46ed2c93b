"""Is the penalty on weights the one of the formula, and does it do what it is for?"""

import pytest
import torch
from torch import nn

from lightning_cv.callbacks import WeightPenalty
from lightning_cv.errors import UserError
from tests.callbacks.tiny import TinyModule, TinyTask, trainer
from tests.tolerances import assert_close


def gradients(l1: float, l2: float, *, extra=None) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of a layer's weight and bias behind the hook, from a loss that is their sum."""
    task = TinyTask()
    task.network.weight.data[0, 0] = 0.0  # where the magnitude has no slope
    loss = task.network.weight.sum() + task.network.bias.sum()
    if extra is not None:
        loss = loss + extra(task.network.weight)
    loss.backward()
    WeightPenalty(l1, l2).on_before_optimizer_step(None, task, None)
    return task.network.weight.grad, task.network.bias.grad


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2), (0.0, 0.0)])
def test_the_gradient_is_that_of_the_penalty_in_the_loss(l1, l2):
    """rows 31, 32, 33: torch differentiates l1 Σ|w| + l2 Σw² as a part of the loss; biases get none of it."""
    got, bias = gradients(l1, l2)
    meant, _ = gradients(0.0, 0.0, extra=lambda weight: l1 * weight.abs().sum() + l2 * weight.square().sum())
    assert_close(got, meant)
    assert torch.equal(bias, torch.ones_like(bias))


def test_the_elastic_net_is_its_two_terms_and_each_alone_where_the_other_is_zero():
    """row 33: exactly, for the value as for the gradient."""
    weights = [nn.Parameter(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)))]
    both = WeightPenalty(0.25, 0.5).value(weights)
    assert both == WeightPenalty(0.25).value(weights) + WeightPenalty(l2=0.5).value(weights)
    assert_close(both, 0.25 * weights[0].abs().sum() + 0.5 * weights[0].square().sum())
    one, _ = gradients(0.25, 0.5)
    plain, _ = gradients(0.0, 0.0)
    assert_close(one - plain, (gradients(0.25, 0.0)[0] - plain) + (gradients(0.0, 0.5)[0] - plain))


def fitted(tmp_path, penalty: WeightPenalty) -> tuple[torch.Tensor, dict]:
    task = TinyTask(nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3)), lr=0.05)
    runner = trainer(tmp_path, [penalty], max_epochs=30)
    runner.fit(task, datamodule=TinyModule())
    return torch.cat([weight.detach().flatten() for weight in task.network.parameters() if weight.ndim > 1]), dict(
        runner.callback_metrics
    )


def test_magnitudes_make_weights_vanish_and_squares_make_them_small(tmp_path):
    """rows 31, 32: the share of weights below 1e-3 rises with l1, the norm falls with l2 and stays dense."""
    free, _ = fitted(tmp_path / "free", WeightPenalty())
    sparsities = [float((free.abs() < 1e-3).float().mean())]
    for l1 in (0.003, 0.015):
        weights, metrics = fitted(tmp_path / str(l1), WeightPenalty(l1))
        sparsities.append(float((weights.abs() < 1e-3).float().mean()))
        assert_close(metrics["train/weight_penalty"], l1 * weights.abs().sum())
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] > 0.3 > 0.05 > sparsities[0]
    norms = [float(fitted(tmp_path / f"l2{l2}", WeightPenalty(l2=l2))[0].norm()) for l2 in (0.003, 0.03)]
    assert float(free.norm()) > norms[0] > norms[1]


def test_a_negative_factor_is_refused():
    with pytest.raises(UserError, match="WeightPenalty: l2 is -1; allowed: 0 or more"):
        WeightPenalty(l2=-1)
