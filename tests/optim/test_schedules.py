"""Every schedule follows its formula at every optimizer step, before and after a resume."""

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, PolynomialLR

from lightning_cv.errors import UserError
from lightning_cv.optim import Constant, Cosine, Horizon, InverseSqrt, Linear, Polynomial, Schedule, Step
from tests.tolerances import assert_close

BASE = 0.2
HORIZON = Horizon(total_steps=120, steps_per_epoch=10)


def make_optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def rates_of(optimizer: torch.optim.Optimizer, scheduler: LRScheduler, steps: int) -> torch.Tensor:
    """Rate of each group at each of `steps` optimizer steps, (steps, groups) float64."""
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64)


def follow(schedule: Schedule, steps: int = HORIZON.total_steps) -> torch.Tensor:
    optimizer = make_optimizer(BASE)
    described = schedule.configure(optimizer, HORIZON)
    assert described["interval"] == "step"
    assert described["frequency"] == 1
    return rates_of(optimizer, described["scheduler"], steps)[:, 0]


def on_steps(formula, steps: int = HORIZON.total_steps) -> torch.Tensor:
    return torch.tensor([formula(t) for t in range(steps)], dtype=torch.float64)


def test_constant_is_flat():
    """row 116: the rate is the base rate at every step."""
    assert torch.equal(follow(Constant()), torch.full((120,), BASE, dtype=torch.float64))


def test_step_changes_exactly_at_its_milestones():
    """row 117: with milestones 30, 60, 90 the rate is 1, .1, .01, .001 of the base, changing just there."""
    horizon = Horizon(total_steps=400, steps_per_epoch=4)
    schedule = Step([30, 60, 90])
    factors = [schedule.factor(step, horizon) for step in range(400)]
    changes = [step for step in range(1, 400) if factors[step] != factors[step - 1]]
    assert changes == [30 * 4, 60 * 4, 90 * 4]
    assert [factors[step] for step in (0, 120, 240, 360)] == pytest.approx([1, 0.1, 0.01, 0.001], rel=1e-12)


def test_step_equals_torch():
    """row 117: stepped once an epoch, torch's MultiStepLR has the same rate at the start of every epoch."""
    optimizer = make_optimizer(BASE)
    expected = rates_of(optimizer, MultiStepLR(optimizer, [3, 7], gamma=0.5), 12)[:, 0]
    assert_close(follow(Step([3, 7], gamma=0.5))[::10], expected)


def test_step_takes_fractions_of_an_epoch():
    """row 117: 0.3 epochs of 10 steps is the third step, although 0.3 * 10 is above 3 in binary."""
    rates = follow(Step([0.1 + 0.2], gamma=0.5), 6)
    assert rates.tolist() == [BASE, BASE, BASE, BASE / 2, BASE / 2, BASE / 2]


def test_cosine_equals_its_formula_and_torch():
    """row 118: a0 (1 + cos(pi t / T)) / 2 at every step, as in torch; half the base rate at T / 2."""
    rates = follow(Cosine())
    assert_close(rates, on_steps(lambda t: BASE * (1 + math.cos(math.pi * t / 120)) / 2))
    assert_close(rates[60], torch.tensor(BASE / 2, dtype=torch.float64))
    optimizer = make_optimizer(BASE)
    assert_close(rates, rates_of(optimizer, CosineAnnealingLR(optimizer, T_max=120), 120)[:, 0])


def test_cosine_ends_at_its_final_factor():
    """row 118: with a floor it equals torch's eta_min, and stays there after the last step."""
    optimizer = make_optimizer(BASE)
    expected = rates_of(optimizer, CosineAnnealingLR(optimizer, T_max=120, eta_min=0.05 * BASE), 120)[:, 0]
    rates = follow(Cosine(final_factor=0.05), 125)
    assert_close(rates[:120], expected)
    assert_close(rates[120:], torch.full((5,), 0.05 * BASE, dtype=torch.float64))


def test_linear_equals_its_formula_and_torch():
    """row 119: a0 (1 - t / T) at every step, as torch's PolynomialLR of power 1."""
    rates = follow(Linear())
    assert (rates - on_steps(lambda t: BASE * (1 - t / 120))).abs().max() < 1e-15
    optimizer = make_optimizer(BASE)
    assert_close(rates, rates_of(optimizer, PolynomialLR(optimizer, total_iters=120), 120)[:, 0])


def test_polynomial_equals_torch_and_of_power_one_a_line():
    """row 119: a0 (1 - t / T)^0.9 at every step, as torch's PolynomialLR; never below its final factor."""
    optimizer = make_optimizer(BASE)
    expected = rates_of(optimizer, PolynomialLR(optimizer, total_iters=120, power=0.9), 120)[:, 0]
    rates = follow(Polynomial(0.9))
    assert_close(rates, on_steps(lambda t: BASE * (1 - t / 120) ** 0.9))
    assert (rates - expected).abs().max() < 1e-9  # torch multiplies step by step
    assert_close(follow(Polynomial(1.0)), follow(Linear()))
    assert_close(
        follow(Polynomial(0.9, final_factor=0.01), 125)[120:], torch.full((5,), 0.01 * BASE, dtype=torch.float64)
    )


def test_inverse_sqrt_counts_from_one():
    """row 120: a0 / sqrt(t) from t = 1: finite at the first step, half at the fourth."""
    rates = follow(InverseSqrt())
    assert_close(rates, on_steps(lambda t: BASE / math.sqrt(t + 1)))
    assert rates[0] == BASE
    assert rates[3] == rates[0] / 2


@pytest.mark.parametrize(
    ("make", "after"),
    [
        (Constant, lambda t: 1.0),
        (Cosine, lambda t: (1 + math.cos(math.pi * t / 100)) / 2),
        (Linear, lambda t: 1 - t / 100),
        (InverseSqrt, lambda t: 1 / math.sqrt(t + 1)),
        (lambda warmup_steps: Step([5], warmup_steps=warmup_steps), lambda t: 1.0 if t < 30 else 0.1),
    ],
    ids=["constant", "cosine", "linear", "inverse_sqrt", "step"],
)
def test_warmup_is_a_line_that_meets_the_schedule(make, after):
    """rows 116, 117, 118, 119, 120: a line through (-1, 0) to (20, base), then the formula."""
    rates = follow(make(warmup_steps=20))
    assert_close(rates[:20], on_steps(lambda t: BASE * (t + 1) / 21, 20))
    assert_close(rates[20:], on_steps(lambda t: BASE * after(t), 100))
    assert rates[0] > 0


SCHEDULES = [
    Constant(),
    Constant(warmup_steps=60),
    Step([3, 7]),
    Cosine(final_factor=0.1, warmup_steps=7),
    Linear(),
    Polynomial(warmup_steps=5),
    InverseSqrt(warmup_steps=3),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("at", [1, 37])
def test_a_resume_changes_nothing(schedule, at, tmp_path):
    """rows 116, 117, 118, 119, 120: saved safely and loaded in the middle, the rates go on."""
    straight = follow(schedule)
    optimizer = make_optimizer(BASE)
    scheduler = schedule.configure(optimizer, HORIZON)["scheduler"]
    before = rates_of(optimizer, scheduler, at)
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, tmp_path / "state.pt")

    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    optimizer = make_optimizer(BASE)
    scheduler = schedule.configure(optimizer, HORIZON)["scheduler"]
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    after = rates_of(optimizer, scheduler, HORIZON.total_steps - at)
    assert torch.equal(torch.cat([before, after])[:, 0], straight)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_groups_keep_their_ratio(schedule):
    """rows 116, 117, 118, 119, 120: rates of two groups that differ tenfold do so throughout."""
    optimizer = make_optimizer(0.1 * BASE, BASE)
    rates = rates_of(optimizer, schedule.configure(optimizer, HORIZON)["scheduler"], 120)
    assert_close(10 * rates[:, 0], rates[:, 1])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Constant(warmup_steps=-1), "warmup_steps is -1"),
        (lambda: Step([]), r"milestones is \[\]"),
        (lambda: Step([60, 30]), r"milestones is \[60, 30\]"),
        (lambda: Step([30, 30]), "milestones"),
        (lambda: Step([0, 30]), "milestones"),
        (lambda: Step([30], gamma=0), "gamma is 0"),
        (lambda: Cosine(final_factor=1.5), "Cosine: final_factor is 1.5"),
        (lambda: Linear(final_factor=-0.1), "Linear: final_factor is -0.1"),
        (lambda: Polynomial(power=0.0), "Polynomial: power is 0.0"),
    ],
)
def test_a_wrong_argument_is_named(make, named):
    """rows 116, 117, 118, 119, 120: refused with the argument, its value, what is allowed."""
    with pytest.raises(UserError, match=named) as caught:
        make()
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_warmup_longer_than_the_training_warns():
    """rows 116, 117, 118, 119, 120: a warm-up as long as the training is reported."""
    with pytest.warns(UserWarning, match="warmup_steps 120"):
        Cosine(warmup_steps=120).configure(make_optimizer(BASE), HORIZON)
