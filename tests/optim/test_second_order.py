"""Newton's method and BFGS solve quadratics as the textbook says, and train a network in a run."""

import copy

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from lightning_cv.data import Digits
from lightning_cv.optim import Bfgs, Newton
from lightning_cv.tasks import Classify
from tests.tolerances import assert_close

SIZE = 5


class Quadratic(nn.Module):
    """(w - c)' A (w - c) / 2 in float64, of two parameters; A is positive definite with condition 50."""

    def __init__(self, curvatures: torch.Tensor | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        turn = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)).Q
        values = torch.logspace(0, 1.7, SIZE, dtype=torch.float64) if curvatures is None else curvatures
        self.matrix = turn @ torch.diag(values) @ turn.T
        self.center = torch.randn(SIZE, generator=generator, dtype=torch.float64)
        self.first = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.second = nn.Parameter(-torch.ones(3, 1, dtype=torch.float64))

    @property
    def w(self) -> torch.Tensor:
        return torch.cat([self.first, self.second.flatten()])

    def closure(self, optimizer):
        def evaluate():
            optimizer.zero_grad()
            off = self.w - self.center
            loss = off @ self.matrix @ off / 2
            loss.backward()
            return loss

        return evaluate


def test_newton_solves_a_quadratic_in_one_step():
    """row 28: whatever its condition, to rounding; half the rate goes half the way."""
    problem, half = Quadratic(), Quadratic()
    optimizer = Newton(problem.parameters())
    optimizer.step(problem.closure(optimizer))
    assert (problem.w - problem.center).abs().max() < 1e-8
    optimizer = Newton(half.parameters(), lr=0.5)
    middle = (half.w.detach() + half.center) / 2
    optimizer.step(half.closure(optimizer))
    assert_close(half.w.detach(), middle)


def test_newton_leaves_a_saddle_downhill():
    """Along a direction of negative curvature the plain step would climb to the saddle."""
    problem = Quadratic(torch.tensor([-2.0, 1, 3, 5, 9], dtype=torch.float64))
    optimizer = Newton(problem.parameters())
    before = float(problem.closure(optimizer)())
    optimizer.step(problem.closure(optimizer))
    assert float(problem.closure(optimizer)()) < before - 1e-3
    assert float(problem.closure(optimizer)()) < 0


def test_bfgs_satisfies_the_secant_equation_after_each_step():
    """row 29: B y = s to 1e-8, and B stays symmetric, on a function that is no quadratic."""
    problem = Quadratic()
    optimizer = Bfgs(problem.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        off = problem.w - problem.center
        loss = off @ problem.matrix @ off / 2 + (off**4).sum()
        loss.backward()
        return loss

    for _ in range(8):
        before = problem.w.detach().clone(), optimizer.evaluate(closure, optimizer.values())[1]
        optimizer.step(closure)
        after = problem.w.detach().clone(), optimizer.evaluate(closure, optimizer.values())[1]
        step, change = after[0] - before[0], after[1] - before[1]
        if step.norm() < 1e-6:
            break
        assert (optimizer.inverse_hessian @ change - step).abs().max() < 1e-8
        assert_close(optimizer.inverse_hessian, optimizer.inverse_hessian.T)


def test_bfgs_knows_the_inverse_hessian_after_as_many_steps_as_parameters():
    """row 29: of a quadratic, whose steps are then conjugate; and it is at the minimum."""
    problem = Quadratic()
    optimizer = Bfgs(problem.parameters(), lr=0.01)
    for _ in range(SIZE):
        optimizer.step(problem.closure(optimizer))
    assert (optimizer.inverse_hessian - torch.linalg.inv(problem.matrix)).abs().max() < 1e-6
    assert (problem.w - problem.center).abs().max() < 1e-6


def test_bfgs_goes_on_from_its_saved_state():
    """The matrix is part of the state: a resumed run takes the same steps."""
    problem = Quadratic()
    optimizer = Bfgs(problem.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.step(problem.closure(optimizer))
    other = copy.deepcopy(problem)
    resumed = Bfgs(other.parameters(), lr=0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.step(problem.closure(optimizer))
    resumed.step(other.closure(resumed))
    assert torch.equal(problem.w, other.w)


@pytest.mark.parametrize("make", [Newton, Bfgs])
def test_too_large_a_network_is_refused(make):
    """row 28: with the number of its parameters and the option that allows more."""
    with pytest.raises(ValueError, match=f"{make.__name__} is for up to max_parameters, 10; the network has 20"):
        make([nn.Parameter(torch.zeros(4, 5))], max_parameters=10)
    with pytest.raises(ValueError, match="lr is 0; allowed: above 0"):
        make([nn.Parameter(torch.zeros(2))], lr=0)


@pytest.mark.parametrize(("make", "steps"), [(Newton, 3), (Bfgs, 25)])
def test_they_train_in_a_run_and_warn_of_minibatches(make, steps):
    """rows 28, 29: full batches of digits, a linear classifier on 10 pixels; a loss far below that of the start."""

    class FewPixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(16, 10)

        def forward(self, images):
            return self.head(images[:, 0, 2:6, 2:6].flatten(1))

    torch.manual_seed(0)
    task = Classify(FewPixels(), make, head_std=1e-3)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options |= {"enable_model_summary": False, "accelerator": "cpu", "limit_val_batches": 0}
    fitter = pl.Trainer(max_steps=steps, **options)
    fitter.fit(task, datamodule=Digits(batch_size=1294))
    images, labels = next((b["image"], b["label"]) for b in whole_batches())
    with torch.no_grad():
        assert nn.functional.cross_entropy(task.network(images), labels) < 1.2
    with pytest.warns(UserWarning, match=f"{make.__name__} needs the whole training set in each step"):
        pl.Trainer(max_steps=1, **options).fit(Classify(FewPixels(), make), datamodule=Digits(batch_size=400))


def whole_batches():
    data = Digits(batch_size=1294)
    data.setup("fit")
    return data.training_images()
