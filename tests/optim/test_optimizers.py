"""The optimizers of torch take the course's steps, and each is reachable from a recipe."""

import copy
import inspect
from functools import partial

import numpy as np
import pytest
import timm.optim
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.optim import AdagradInnerEps, build_optimizer
from tests.tolerances import assert_close

STEPS = 50
MATRIX = np.diag([1.0, 3.0, 10.0]) + 0.5  # positive definite
START = np.array([1.0, -2.0, 0.5])


class Quadratic(nn.Module):
    """w' A w / 2 in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(START))

    def forward(self) -> torch.Tensor:
        return self.w @ torch.tensor(MATRIX) @ self.w / 2


def path_of(make, steps: int = STEPS) -> torch.Tensor:
    """Parameters after each step of an optimizer that the platform builds, (steps, 3)."""
    problem = Quadratic()
    # All of it decays here: w has one dimension and would be taken for a bias.
    optimizer = build_optimizer(problem, make, head=None, decay_norm_and_bias=True)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        problem().backward()
        optimizer.step()
        seen.append(problem.w.detach().clone())
    return torch.stack(seen)


def numpy_path(update, steps: int = STEPS) -> torch.Tensor:
    """The same with `update(w, gradient, t, state) -> w` in NumPy, t from 1."""
    w, state, seen = START.copy(), {}, []
    for t in range(1, steps + 1):
        w = update(w, MATRIX @ w, t, state)
        seen.append(w)
    return torch.tensor(np.stack(seen))


def sgd(w, g, t, state):
    return w - 0.02 * g


def momentum(w, g, t, state):
    state["v"] = 0.9 * state.get("v", 0) + g
    return w - 0.02 * state["v"]


def adagrad(w, g, t, state):
    state["s"] = state.get("s", 0) + g**2
    return w - 0.02 * g / (np.sqrt(state["s"]) + 1e-10)  # torch: epsilon outside the root


def rmsprop(w, g, t, state):
    state["s"] = 0.99 * state.get("s", 0) + 0.01 * g**2
    return w - 0.02 * g / (np.sqrt(state["s"]) + 1e-8)


def adam(w, g, t, state):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g**2
    first, second = state["m"] / (1 - 0.9**t), state["s"] / (1 - 0.999**t)
    return w - 0.02 * first / (np.sqrt(second) + 1e-8)


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (partial(torch.optim.SGD, lr=0.02), sgd),
        (partial(torch.optim.SGD, lr=0.02, momentum=0.9), momentum),
        (partial(torch.optim.Adagrad, lr=0.02), adagrad),
        (partial(torch.optim.RMSprop, lr=0.02), rmsprop),
        (partial(torch.optim.Adam, lr=0.02), adam),
    ],
    ids=["sgd", "momentum", "adagrad", "rmsprop", "adam"],
)
def test_50_steps_equal_the_formula(make, update):
    """rows 22, 23, 24, 25, 26: the path of 50 steps equals the course's update rewritten in NumPy."""
    assert_close(path_of(make), numpy_path(update))


def test_where_adagrad_puts_its_epsilon():
    """row 24: torch adds epsilon outside the root, the course inside: it matters where epsilon is large."""

    def inside(eps):
        def update(w, g, t, state):
            state["s"] = state.get("s", 0) + g**2
            return w - 0.02 * g / np.sqrt(state["s"] + eps)

        return update

    small = path_of(partial(torch.optim.Adagrad, lr=0.02, eps=1e-10)) - numpy_path(inside(1e-10))
    large = path_of(partial(torch.optim.Adagrad, lr=0.02, eps=1e-2)) - numpy_path(inside(1e-2))
    assert small.abs().max() < 1e-9
    assert large.abs().max() > 1e-4


@pytest.mark.parametrize("eps", [1e-10, 1e-2])
def test_the_epsilon_of_the_course_stands_inside_the_root(eps):
    """row 24: `AdagradInnerEps` equals the course's update at any epsilon, before and after its state is reloaded."""

    def update(w, g, t, state):
        state["s"] = state.get("s", 0) + g**2
        return w - 0.02 * g / np.sqrt(state["s"] + eps)

    assert_close(path_of(partial(AdagradInnerEps, lr=0.02, eps=eps)), numpy_path(update))
    assert_close(path_of(reloading(partial(AdagradInnerEps, lr=0.02, eps=eps))), numpy_path(update))


def reloading(make):
    """An optimizer that goes on from its own saved state before every step, as a resumed run does."""

    def build(groups):
        optimizer = make(groups)
        step = optimizer.step

        def reloaded(*arguments):
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            return step(*arguments)

        optimizer.step = reloaded
        return optimizer

    return build


def test_a_weight_that_never_had_a_gradient_stays_where_it_is():
    """With epsilon 0 its step would be 0 / 0; decay pulls it all the same."""
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = AdagradInnerEps([weight], lr=0.5, eps=0.0)
    weight.grad = torch.tensor([0.0, 3.0])
    optimizer.step()
    assert weight.tolist() == [1.0, 1.5]
    with pytest.raises(ValueError, match="lr is 0; allowed: above 0"):
        AdagradInnerEps([weight], lr=0)


def sgdw(w, g, t, state):
    state["v"] = 0.9 * state.get("v", 0) + g
    return (1 - 0.02 * 0.3) * w - 0.02 * state["v"]


def lion(w, g, t, state):
    m = state.get("m", 0)
    state["m"] = 0.99 * m + 0.01 * g
    return (1 - 0.02 * 0.3) * w - 0.02 * np.sign(0.9 * m + 0.1 * g)


def lamb(w, g, t, state):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g**2
    step = (state["m"] / (1 - 0.9**t)) / (np.sqrt(state["s"] / (1 - 0.999**t)) + 1e-6) + 0.3 * w
    return w - 0.02 * (np.linalg.norm(w) / np.linalg.norm(step)) * step


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (partial(timm.optim.SGDW, lr=0.02, momentum=0.9, weight_decay=0.3), sgdw),
        (partial(timm.optim.Lion, lr=0.02, betas=(0.9, 0.99), weight_decay=0.3), lion),
        (partial(timm.optim.Lamb, lr=0.02, weight_decay=0.3, max_grad_norm=None), lamb),
    ],
    ids=["sgdw", "lion", "lamb"],
)
def test_optimizers_of_timm_take_the_steps_of_their_papers(make, update):
    """row 27 for SGDW; Loshchilov and Hutter 2019, Chen et al. 2023, You et al. 2020, rewritten in NumPy."""
    assert_close(path_of(make), numpy_path(update))


def test_muon_makes_the_update_of_a_matrix_orthogonal():
    """Jordan 2024: all singular values of the step are near 1 whatever those of the gradient are (0.7 to 1.2)."""
    weight = nn.Parameter(torch.zeros(8, 8))
    optimizer = timm.optim.Muon([weight], lr=1.0, momentum=0.0, weight_decay=0.0, nesterov=False)
    weight.grad = torch.diag(torch.logspace(-1, 1, 8)) @ torch.linalg.qr(torch.randn(8, 8)).Q
    optimizer.step()
    values = torch.linalg.svdvals(weight.detach())
    values = values / values.max()
    assert values.min() > 0.5
    assert torch.linalg.svdvals(weight.grad).min() / torch.linalg.svdvals(weight.grad).max() < 0.02


def test_the_first_step_of_adam_is_the_rate():
    """row 26: with bias correction each coordinate first moves by the rate, whatever its gradient."""
    moved = (path_of(partial(torch.optim.Adam, lr=0.01), 1)[0] - torch.tensor(START)).abs()
    assert_close(moved.float(), torch.full((3,), 0.01))


def test_gradient_noise_falls_as_one_over_the_batch():
    """row 22: variance of the minibatch gradient against batch size has slope -1 +- 0.15 on log-log axes."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4096, 5, generator=generator, dtype=torch.float64)
    targets = inputs.sum(1) + torch.randn(4096, generator=generator, dtype=torch.float64)
    weights = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    sizes = [4, 16, 64, 256]
    variances = []
    for size in sizes:
        gradients = []
        for _ in range(400):
            chosen = torch.randint(4096, (size,), generator=generator)
            loss = ((inputs[chosen] @ weights - targets[chosen]) ** 2).mean()
            gradients.append(torch.autograd.grad(loss, weights)[0])
        variances.append(torch.stack(gradients).var(0).sum().item())
    slope = np.polyfit(np.log(sizes), np.log(variances), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)


def decoupled_sgd(momentum_factor: float):
    """SGD whose decay shrinks the weights beside the gradient step instead of entering the gradient."""

    def update(w, g, t, state):
        state["v"] = momentum_factor * state.get("v", 0) + g
        return (1 - 0.02 * 0.3) * w - 0.02 * state["v"]

    return update


def test_l2_and_decoupled_decay_agree_for_plain_sgd_only():
    """row 27: an L2 gradient equals decay in the update for plain SGD, not with momentum nor for Adam."""
    plain = path_of(partial(torch.optim.SGD, lr=0.02, weight_decay=0.3))
    assert (plain - numpy_path(decoupled_sgd(0.0))).abs().max() < 1e-15
    with_momentum = path_of(partial(torch.optim.SGD, lr=0.02, weight_decay=0.3, momentum=0.9))
    assert (with_momentum - numpy_path(decoupled_sgd(0.9))).abs().max() > 1e-3
    coupled = path_of(partial(torch.optim.Adam, lr=0.02, weight_decay=0.3))
    decoupled = path_of(partial(torch.optim.AdamW, lr=0.02, weight_decay=0.3))
    assert (coupled - decoupled).abs().max() > 1e-3
    flagged = path_of(partial(torch.optim.Adam, lr=0.02, weight_decay=0.3, decoupled_weight_decay=True))
    assert_close(flagged, decoupled)


def decay_gradient(weights: list[float]) -> torch.Tensor:
    """What weight decay 1 adds to a zero gradient: minus the step of SGD at rate 1."""
    network = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(torch.tensor([weights]))
    make = partial(torch.optim.SGD, lr=1.0, weight_decay=1.0)
    optimizer = build_optimizer(network, make, head=None)
    network.weight.grad = torch.zeros_like(network.weight)
    before = network.weight.detach().clone()
    optimizer.step()
    return (before - network.weight.detach())[0]


def test_the_penalty_prefers_spread_out_weights():
    """row 31: of equal scores on equal inputs, [.25] * 4 has 1/4 of the squared-norm penalty of [1, 0, 0, 0].

    The penalty is read off the decay's gradient w: half its product with w.
    """
    spread, single = [0.25] * 4, [1.0, 0.0, 0.0, 0.0]
    penalties = [decay_gradient(w) @ torch.tensor(w, dtype=torch.float64) / 2 for w in (spread, single)]
    assert penalties[0] == penalties[1] / 4
    assert penalties[1] == 0.5


def test_the_norm_falls_with_the_penalty():
    """row 31: fitted by ridge regression through the optimizer, the norm falls as weight decay rises."""
    inputs = torch.randn(64, 6, dtype=torch.float64)
    targets = inputs @ torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    norms = []
    for decay in (0.0, 0.1, 1.0, 10.0):
        network = nn.Linear(6, 1, bias=False).double()
        make = partial(torch.optim.SGD, lr=0.1, weight_decay=decay)
        optimizer = build_optimizer(network, make, head=None)
        for _ in range(1000):
            optimizer.zero_grad()
            (0.5 * (network(inputs) - targets) ** 2).mean().backward()
            optimizer.step()
        solution = torch.linalg.solve(
            inputs.T @ inputs / 64 + decay * torch.eye(6, dtype=torch.float64), inputs.T @ targets / 64
        )
        assert_close(network.weight.detach().T, solution)
        norms.append(network.weight.detach().norm().item())
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < norms[0]


# --- every optimizer that torch has -------------------------------------------------------------------------

# What a class needs beside its defaults. A class that torch adds is tested as it stands.
ARGUMENTS = {"SGD": {"lr": 0.01}, "Adafactor": {"lr": 0.1}, "Adadelta": {"lr": 1.0}}


def torch_optimizers() -> list[str]:
    found = [
        name
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and name != "Optimizer"
    ]
    assert found
    return sorted(found)


def from_recipe(name: str, **arguments) -> OptimizerCallable:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--optimizer", type=OptimizerCallable)
    recipe = {"optimizer": {"class_path": f"torch.optim.{name}", "init_args": arguments}}
    return parser.instantiate(parser.parse_object(recipe)).optimizer


class Table(nn.Module):
    """The sum of squares of one row of an embedding, whose gradient is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 2, sparse=True)

    def forward(self) -> torch.Tensor:
        return (self.table(torch.tensor([1])) ** 2).sum()


class MatrixQuadratic(nn.Module):
    """The sum of squares of a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(3))

    def forward(self) -> torch.Tensor:
        return (self.matrix**2).sum()


# SparseAdam takes sparse gradients only, Muon matrices only; L-BFGS needs the closure.
PROBLEMS = {"SparseAdam": Table, "Muon": MatrixQuadratic}


@pytest.mark.parametrize("name", torch_optimizers())
def test_every_optimizer_of_torch_is_reachable(name):
    """rows 22, 23, 24, 25, 26: any optimizer of torch, named in a recipe, reduces a quadratic."""
    problem = PROBLEMS.get(name, Quadratic)()
    optimizer = build_optimizer(problem, from_recipe(name, **ARGUMENTS.get(name, {})), head=None)
    assert type(optimizer).__name__ == name

    def closure() -> float:
        optimizer.zero_grad()
        loss = problem()
        loss.backward()
        return loss.item()

    first = closure()
    for _ in range(5):
        optimizer.step(closure)
    assert closure() < first


def test_muon_says_why_it_refuses_a_convolution():
    """row 22: an optimizer's own refusal becomes one line that names the key `optimizer`."""
    with pytest.raises(UserError, match=r"model\.init_args\.optimizer: Muon only supports 2D parameters"):
        build_optimizer(nn.Conv2d(1, 1, 3), from_recipe("Muon"), head=None)


def test_a_full_batch_contracts_each_mode_by_its_curvature():
    """row 21: on a quadratic with the whole set in each step, mode i shrinks by exactly 1 - lr x lambda_i."""
    curvatures, directions = np.linalg.eigh(MATRIX)
    path = path_of(partial(torch.optim.SGD, lr=0.02), 10).numpy()
    modes, start = path @ directions, START @ directions
    for step in range(10):
        assert np.abs(modes[step] - start * (1 - 0.02 * curvatures) ** (step + 1)).max() < 1e-12
