"""How does noise come over values step by step, and which clean values does a network's answer stand for?"""

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from lightning_cv.errors import UserError

Prediction = Literal["epsilon", "sample", "v_prediction"]
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "sample", "v_prediction")


class NoiseSchedule:
    """The variances beta_t of a forward process q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t) (row 256).

    After t + 1 of T steps, x_t = signal_t x + noise_t z with z from N(0, 1) (Ho et al. 2020, equation 4); steps are
    counted from 0, as diffusers does. Tables are float64 on the CPU.

    Args:
        betas: (T,) float64 in (0, 1).

    Attributes:
        betas: the same.
        alpha_bar: (T,) prod (1 - beta): the share of the variance of unit data that is left.
    """

    def __init__(self, betas: Tensor) -> None:
        self.betas = betas
        self.alpha_bar = (1 - betas).cumprod(0)

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.betas)

    @cached_property
    def signal(self) -> Tensor:
        """(T,) float64, what of the data is left: sqrt(alpha_bar)."""
        return self.alpha_bar.sqrt()

    @cached_property
    def noise(self) -> Tensor:
        """(T,) float64, the deviation of the noise: sqrt(1 - alpha_bar)."""
        return (1 - self.alpha_bar).sqrt()

    @cached_property
    def snr(self) -> Tensor:
        """(T,) float64, signal to noise, as variances."""
        return self.alpha_bar / (1 - self.alpha_bar)


class LinearSchedule(NoiseSchedule):
    """beta from `beta_start` to `beta_end` in equal steps (Ho et al. 2020, section 4).

    Args:
        num_steps: T, 1 or more.
        beta_start: in (0, 1).
        beta_end: in (0, 1).
    """

    def __init__(self, num_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> None:
        _check_num_steps(num_steps)
        for name, value in (("beta_start", beta_start), ("beta_end", beta_end)):
            if not 0 < value < 1:
                raise UserError(f"noise schedule: {name} is {value}; allowed: above 0 and below 1")
        super().__init__(torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64))


class CosineSchedule(NoiseSchedule):
    """The signal falls as a squared cosine, beta is at most 0.999 (Nichol and Dhariwal 2021, equation 17).

    Args:
        num_steps: T, 1 or more.
    """

    def __init__(self, num_steps: int = 1000) -> None:
        _check_num_steps(num_steps)
        t = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
        kept = torch.cos((t + 0.008) / 1.008 * math.pi / 2).square()
        super().__init__((1 - kept[1:] / kept[:-1]).clamp(max=0.999))


def target_of(prediction: Prediction, clean: Tensor, noise: Tensor, signal: Tensor, spread: Tensor) -> Tensor:
    """What a network should answer to signal x clean + spread x noise (v: Salimans and Ho 2022, appendix D).

    Args:
        prediction: the kind of answer.
        clean: (B, ...).
        noise: (B, ...).
        signal: what broadcasts to them.
        spread: deviation of the noise, likewise.
    """
    if prediction == "epsilon":
        return noise
    return clean if prediction == "sample" else signal * noise - spread * clean


def clean_of(
    prediction: Prediction, noisy: Tensor, answer: Tensor, signal: float | Tensor, spread: float | Tensor
) -> Tensor:
    """The clean values that an answer to noisy ones stands for: the way back of `target_of`."""
    if prediction == "epsilon":
        return (noisy - spread * answer) / signal
    return answer if prediction == "sample" else signal * noisy - spread * answer


def error_weights(prediction: Prediction, snr: Tensor, most: float | None) -> Tensor:
    """What the squared error of an answer is multiplied by, so that that of the clean values has weight min(SNR, most).

    An error of the noise is SNR times that of the clean values, one of v SNR + 1 times (Hang et al. 2023, section 3.4).

    Args:
        prediction: the kind of answer.
        snr: any shape, above 0.
        most: gamma; None: no limit, the weight is the SNR.
    """
    weights = snr if most is None else snr.clamp(max=most)
    if prediction == "epsilon":
        return weights / snr
    return weights if prediction == "sample" else weights / (snr + 1)


def _check_num_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise UserError(f"noise schedule: num_steps is {num_steps}; allowed: 1 or more")
