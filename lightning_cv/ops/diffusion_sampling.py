"""Which few numbers lead from noise to an image, whatever the method: all steps are worked out before the first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_cv.contracts import Draws
from lightning_cv.ops.diffusion import NoiseSchedule, Prediction, clean_of

_LOWEST_HALF_LOG_SNR = -5.1  # at which DPM-Solver starts
_DRAWN_AT_ONCE = 2**20  # normal numbers


@dataclass(frozen=True)
class Step:
    """x_next = keep x + clean D + before D_before + fresh z, with D the clean values that x is believed to come of.

    Args:
        time: step of the schedule, from 0.
        signal: of x.
        spread: deviation of the noise in x.
        keep: coefficient of x.
        clean: of D.
        before: of D of the step before.
        fresh: of new noise z, from N(0, 1).
    """

    time: int
    signal: float
    spread: float
    keep: float
    clean: float
    before: float = 0.0
    fresh: float = 0.0


Ask = Callable[[Tensor, int], Tensor]
"""The answer (B, C, H, W) float32 of a network to noisy values and the step of the schedule."""


def times_of(num_steps: int, count: int) -> list[int]:
    """Steps of a schedule that are taken, from the last one down, as even as can be ("trailing": Lin et al. 2024).

    The first is where training saw pure noise. Halves are rounded up.

    Args:
        num_steps: T of the schedule.
        count: in [1, T].
    """
    return [(2 * num_steps * left + count) // (2 * count) - 1 for left in range(count, 0, -1)]


def ddim_plan(schedule: NoiseSchedule, count: int, *, eta: float = 0.0) -> tuple[Step, ...]:
    """The steps of DDIM (Song et al. 2021, equations 12 and 16); with eta 1 exactly those of DDPM (row 257).

    The noise in x is that which follows from D, also where D was cut off (Dhariwal and Nichol 2021, their code).

    Args:
        schedule: of the training.
        count: of steps, in [1, T].
        eta: share of the posterior's deviation that is drawn anew, in [0, 1]; 0: no draws.
    """
    return _first_order(schedule, times_of(schedule.num_steps, count), eta)


def ddpm_plan(schedule: NoiseSchedule, count: int) -> tuple[Step, ...]:
    """Ancestral sampling with the variance of the posterior (Ho et al. 2020, equation 7), over fewer steps too."""
    return ddim_plan(schedule, count, eta=1.0)


def dpm_solver_plan(schedule: NoiseSchedule, count: int) -> tuple[Step, ...]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), a multistep method of second order; the ends are of first order.

    It starts where half of the logarithm of the ratio of signal to noise is above -5.1: before, errors of a cosine
    schedule grow without bound (diffusers, `lambda_min_clipped`).

    Args:
        schedule: of the training.
        count: of steps, in [1, T]; at most as many as are above the limit.
    """
    half_log_snr = schedule.snr.log() / 2  # falls with time
    usable = max(1, int((half_log_snr >= _LOWEST_HALF_LOG_SNR).sum()))
    first_order = _first_order(schedule, times_of(usable, min(count, usable)))
    plan = list(first_order)
    for place in range(1, len(plan) - 1):
        step = first_order[place]
        before, now, then = (float(half_log_snr[first_order[place + shift].time]) for shift in (-1, 0, 1))
        # D is taken along its slope to the middle of the step.
        along = step.clean / 2 * (then - now) / (now - before)
        plan[place] = replace(step, clean=step.clean + along, before=-along)
    return tuple(plan)


PLANS = {"ddpm": ddpm_plan, "ddim": ddim_plan, "dpm_solver": dpm_solver_plan}


def follow(
    plan: Sequence[Step], x: Tensor, ask: Ask, draws: Draws | None, *, prediction: Prediction, most: float | None
) -> Iterator[Tensor]:
    """The values on their way: x, and what comes of it after each step.

    Args:
        plan: the steps.
        x: (B, C, H, W) float32 from N(0, 1).
        ask: the network.
        draws: for B images, where steps take fresh noise.
        prediction: what it answers.
        most: clean values are cut off at -most and most; None: not.
    """
    yield x
    noise = _fresh_noise(plan, x, draws)
    before = x
    for step in plan:
        clean = clean_of(prediction, x, ask(x, step.time), step.signal, step.spread)
        if most is not None:
            clean = clean.clamp(-most, most)
        x = torch.mul(x, step.keep).add_(clean, alpha=step.clean)
        if step.before:
            x.add_(before, alpha=step.before)
        if step.fresh:
            x.add_(next(noise), alpha=step.fresh)
        before = clean
        yield x


def _first_order(schedule: NoiseSchedule, times: Sequence[int], eta: float = 0.0) -> tuple[Step, ...]:
    alpha_bar = [*(float(schedule.alpha_bar[time]) for time in times), 1.0]
    plan = []
    for time, now, then in zip(times, alpha_bar[:-1], alpha_bar[1:], strict=True):
        fresh = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        keep = math.sqrt(max(0.0, 1 - then - fresh**2) / (1 - now))
        clean = math.sqrt(then) - keep * math.sqrt(now)
        plan.append(Step(time, math.sqrt(now), math.sqrt(1 - now), keep, clean, fresh=fresh))
    return tuple(plan)


def _fresh_noise(plan: Sequence[Step], x: Tensor, draws: Draws | None) -> Iterator[Tensor]:
    """(B, C, H, W) from N(0, 1) for each step that takes some; several at once, which costs less."""
    left = sum(step.fresh > 0 for step in plan)
    at_once = max(1, _DRAWN_AT_ONCE // x.numel())
    while left > 0:
        assert draws is not None, "the plan has steps with fresh noise"
        number = min(left, at_once)
        left -= number
        yield from draws.normal(number, *x.shape[1:]).unbind(1)
