"""Noise comes and goes as the formulas say, and as diffusers does it."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from lightning_cv.errors import UserError
from lightning_cv.ops.diffusion import (
    PREDICTIONS,
    CosineSchedule,
    LinearSchedule,
    NoiseSchedule,
    clean_of,
    error_weights,
    target_of,
)
from lightning_cv.ops.diffusion_sampling import ddim_plan, ddpm_plan, dpm_solver_plan, follow, times_of
from lightning_cv.ops.draws import OwnDraws
from tests.tolerances import assert_close

SCHEDULES = {"linear": LinearSchedule(), "cosine": CosineSchedule()}
SHAPE = (3, 1, 4, 4)


def scheduler(kind: str, schedule: NoiseSchedule, **options):
    """One of diffusers, with our betas in float32 as it keeps them."""
    import diffusers

    return getattr(diffusers, kind)(
        num_train_timesteps=schedule.num_steps,
        trained_betas=schedule.betas.numpy(),
        timestep_spacing="trailing",
        **options,
    )


def standard_normal(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def a_network(x: torch.Tensor, time: int) -> torch.Tensor:
    """A smooth answer that depends on values, place and time."""
    return torch.sin(3 * x + time / 200) * 0.8 + 0.1 * x.roll(1, -1)


class OracleOfNormal:
    """The best answer where every value of the data is N(1.5, 0.3^2): the mean of the noise in x."""

    def __init__(self, schedule: NoiseSchedule, mean: float = 1.5, std: float = 0.3) -> None:
        self.schedule, self.mean, self.variance = schedule, mean, std**2

    def __call__(self, x: torch.Tensor, time: int) -> torch.Tensor:
        signal, spread = float(self.schedule.signal[time]), float(self.schedule.noise[time])
        return spread * (x - signal * self.mean) / (signal**2 * self.variance + spread**2)


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_are_those_of_diffusers(name, theirs):
    """row 256: betas and their products, to the float32 in which diffusers has them."""
    from diffusers import DDPMScheduler

    expected = DDPMScheduler(beta_schedule=theirs)
    torch.testing.assert_close(SCHEDULES[name].betas.float(), expected.betas, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(SCHEDULES[name].alpha_bar.float(), expected.alphas_cumprod, rtol=1e-3, atol=1e-6)


def test_the_forward_process_is_its_closed_form():
    """row 256: 200 steps one after another on N(2, 0.5^2) end in the mean and variance of the closed form, within 1%.

    The published numbers are 1.6236 and 0.3410 for mean and variance, and 4.0e-5 for alpha_bar after 1,000 steps.
    """
    schedule = LinearSchedule()
    x = 2 + 0.5 * standard_normal(0, (200_000,))
    for time in range(200):
        beta = float(schedule.betas[time])
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * standard_normal(time + 1, x.shape)
    kept = float(schedule.alpha_bar[199])
    assert (2 * math.sqrt(kept), 0.25 * kept + 1 - kept) == pytest.approx((x.mean().item(), x.var().item()), rel=0.01)
    assert float(schedule.alpha_bar[-1]) == pytest.approx(4.0e-5, rel=0.02)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_step_back_is_bayes(schedule):
    """row 257: keep, clean and fresh are those of q(x_{t-1} | x_t, x_0), by Bayes on two normals, to 1e-7."""
    plan = ddpm_plan(schedule, schedule.num_steps)
    for step in plan[:-1]:
        prior = float(1 - schedule.alpha_bar[step.time - 1])  # variance of x_{t-1} given x_0
        beta = float(schedule.betas[step.time])
        precision = 1 / prior + (1 - beta) / beta
        of_x = math.sqrt(1 - beta) / beta / precision
        of_clean = math.sqrt(float(schedule.alpha_bar[step.time - 1])) / prior / precision
        assert (step.keep, step.clean, step.fresh) == pytest.approx(
            (of_x, of_clean, math.sqrt(1 / precision)), rel=1e-6, abs=1e-7
        )
    assert (plan[-1].keep, plan[-1].clean, plan[-1].fresh) == pytest.approx((0, 1, 0), abs=1e-7)


@pytest.mark.parametrize("make_plan", [ddpm_plan, ddim_plan, dpm_solver_plan])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_an_oracle_leads_back_to_the_data(make_plan, schedule):
    """row 257: with the best denoiser of N(1.5, 0.3^2), 1,000 steps of each method give 1.5 and 0.3 in 20,000 draws."""
    plan, oracle = make_plan(schedule, schedule.num_steps), OracleOfNormal(schedule)
    x = standard_normal(0, (20_000, 1, 1, 1))
    draws = OwnDraws.of_indices(torch.arange(len(x)), seed=1)
    *_, drawn = follow(plan, x, oracle, draws, prediction="epsilon", most=None)
    assert drawn.mean().item() == pytest.approx(1.5, rel=0.01)
    assert drawn.std().item() == pytest.approx(0.3, rel=0.015)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("count", [1, 4, 10, 50])
def test_ddim_is_that_of_diffusers(schedule, prediction, count):
    """row 257: step by step, with the same cut-off values."""
    theirs = scheduler("DDIMScheduler", schedule, prediction_type=prediction)
    theirs.set_timesteps(count)
    assert theirs.timesteps.tolist() == times_of(1000, count)
    noise = standard_normal(0)
    ours = list(follow(ddim_plan(schedule, count), noise, a_network, None, prediction=prediction, most=1.0))
    x = noise
    for place, time in enumerate(theirs.timesteps.tolist()):
        x = theirs.step(a_network(x, time), time, x, use_clipped_model_output=True).prev_sample
        torch.testing.assert_close(ours[place + 1], x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("count", [1, 7, 50])
def test_ddpm_is_that_of_diffusers(schedule, prediction, count, monkeypatch):
    """row 257: step by step, with the same noise and cut-off values, also over steps that do not divide 1,000."""
    import diffusers.schedulers.scheduling_ddpm as of_diffusers

    theirs = scheduler("DDPMScheduler", schedule, prediction_type=prediction)
    theirs.set_timesteps(timesteps=times_of(1000, count))
    noise, fresh = standard_normal(0), [standard_normal(place + 1) for place in range(count)]
    drawn = iter(fresh)
    monkeypatch.setattr(of_diffusers, "randn_tensor", lambda *_, **__: next(drawn))
    plan = ddpm_plan(schedule, count)
    ours = list(follow(plan, noise, a_network, Given(fresh), prediction=prediction, most=1.0))
    x = noise
    for place, time in enumerate(theirs.timesteps.tolist()):
        x = theirs.step(a_network(x, time), time, x).prev_sample
        torch.testing.assert_close(ours[place + 1], x, rtol=1e-3, atol=1e-3)


class Given:
    """Noise that is given, one step after another."""

    def __init__(self, noise: list[torch.Tensor]) -> None:
        self.noise = noise

    def normal(self, number: int, *shape: int) -> torch.Tensor:
        taken, self.noise = self.noise[:number], self.noise[number:]
        return torch.stack(taken, 1)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_dpm_solver_is_that_of_diffusers(schedule, prediction, count):
    """row 257: DPM-Solver++(2M) step by step; it starts as late as diffusers does with its recommended limit."""
    theirs = scheduler("DPMSolverMultistepScheduler", schedule, prediction_type=prediction, lambda_min_clipped=-5.1)
    plan = dpm_solver_plan(schedule, count)
    theirs.set_timesteps(1000)
    assert plan[0].time == theirs.timesteps[0]
    theirs.set_timesteps(timesteps=[step.time for step in plan])
    noise = standard_normal(0)
    ours = list(follow(plan, noise, a_network, None, prediction=prediction, most=None))
    x = noise
    for place, time in enumerate(theirs.timesteps):
        x = theirs.step(a_network(x, int(time)), time, x).prev_sample
        torch.testing.assert_close(ours[place + 1], x, rtol=1e-3, atol=2e-3)


def test_dpm_solver_is_of_second_order():
    """row 257: on N(1.5, 0.3^2), before the last step, twice the steps leave a quarter of the error; of DDIM a half.

    The path is known: x keeps its place among the deviations sqrt(signal^2 0.3^2 + spread^2) of its time.
    """
    schedule = LinearSchedule()
    std = (schedule.alpha_bar * 0.09 + 1 - schedule.alpha_bar).sqrt()
    ends = torch.tensor([0.0, 1.0]).double().view(2, 1, 1, 1)
    left = {}
    for make_plan in (ddim_plan, dpm_solver_plan):
        errors = []
        for count in (25, 50):
            plan = make_plan(schedule, count)
            place = next(place for place, step in enumerate(plan) if step.time == 199)
            states = list(follow(plan, ends, OracleOfNormal(schedule), None, prediction="epsilon", most=None))
            slope = (states[place][1] - states[place][0]).item()
            errors.append(abs(slope - (std[199] / std[-1]).item()))
        left[make_plan] = errors[1] / errors[0]
    assert left[ddim_plan] == pytest.approx(0.5, abs=0.1)
    assert left[dpm_solver_plan] == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize("num_steps", [1, 7, 1000])
def test_any_number_of_steps_can_be_taken(num_steps):
    """row 257: from 1 to T, all different, from the last one down; they are NumPy's even spacing from the end."""
    for count in {1, 2, 3, 6, 7, 333, 999, 1000} & set(range(1, num_steps + 1)):
        times = times_of(num_steps, count)
        assert len(times) == count
        assert times[0] == num_steps - 1
        assert times[-1] >= 0
        assert all(now > then for now, then in pairwise(times))
        even = np.floor(np.arange(count, 0, -1) * num_steps / count + 0.5 + 1e-9) - 1
        assert times == even.tolist()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_answers_stand_for_clean_values_and_their_errors_weigh_alike(prediction):
    """row 257: the way to an answer and back is exact; weighted errors are min(SNR, 5) times those of clean values."""
    schedule = CosineSchedule(50)
    for time in (0, 25, 48):
        signal, spread = schedule.signal[time], schedule.noise[time]
        clean, noise = standard_normal(0).double(), standard_normal(1).double()
        noisy = signal * clean + spread * noise
        right = target_of(prediction, clean, noise, signal, spread)
        assert_close(clean_of(prediction, noisy, right, signal, spread), clean)
        wrong = right + 0.1
        off = clean_of(prediction, noisy, wrong, signal, spread) - clean
        for most in (None, 5.0):
            wanted = off.square() * min(float(schedule.snr[time]), most or math.inf)
            assert_close(error_weights(prediction, schedule.snr[time], most) * (wrong - right).square(), wanted)


def test_fresh_noise_is_the_same_however_much_is_drawn_at_once(monkeypatch):
    """row 257: the draws of an image are one sequence."""
    plan = ddpm_plan(LinearSchedule(), 5)
    ends = []
    for at_once in (1, 2**20):
        monkeypatch.setattr("lightning_cv.ops.diffusion_sampling._DRAWN_AT_ONCE", at_once)
        draws = OwnDraws.of_indices(torch.arange(3))
        *_, end = follow(plan, standard_normal(0), a_network, draws, prediction="sample", most=None)
        ends.append(end)
    assert torch.equal(*ends)


@pytest.mark.parametrize("wrong", [{"num_steps": 0}, {"beta_start": 0.0}, {"beta_end": 1.0}])
def test_a_schedule_that_is_none_is_one_line(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        LinearSchedule(**wrong)
