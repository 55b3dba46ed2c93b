"""How is a distribution of images learned by undoing noise?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Density, Draws, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import check_at_least, check_labels
from lightning_cv.networks.generate.denoise_unet import UNet
from lightning_cv.networks.generate.in_steps import InSteps
from lightning_cv.networks.generate.likelihoods import DiscretizedNormal
from lightning_cv.ops.diagonal_normal import log_prob_of_normal
from lightning_cv.ops.diffusion import (
    PREDICTIONS,
    LinearSchedule,
    NoiseSchedule,
    Prediction,
    clean_of,
    error_weights,
    target_of,
)
from lightning_cv.ops.diffusion_sampling import PLANS, Step, follow

Weighting = Literal["simple", "snr", "min_snr"]
_MIN_SNR = 5.0  # gamma (Hang et al. 2023, section 3.4)
_SHORT = 50  # steps, where nothing else is asked for


class Diffusion(InSteps):
    """Denoising diffusion (Ho et al. 2020; rows 256, 257): from N(0, 1) to an image in T small steps.

    Trained is the squared error of the denoiser's answer, a mean over the values of an image: 1 where it answers 0 to
    noise, whatever the size. It bounds no likelihood, so that it is none of `nll_terms`; `bound` does, in the test of a
    recipe with `importance_samples`.

    Args:
        denoiser: see `InSteps`; None: a small `UNet`.
        schedule: of the noise; None: `LinearSchedule`.
        prediction: what the denoiser answers: the noise (epsilon), the clean values (sample), or v_prediction, which
            is signal x noise - spread x clean (Salimans and Ho 2022).
        weighting: of the loss over time: simple: of the answer as it is (Ho et al. 2020, equation 14); snr: of the
            clean values by the ratio of signal to noise, for epsilon the same; min_snr: the same, at most 5 (Hang et
            al. 2023).
        class_dropout: see `InSteps`.
        levels: values that a pixel of an image can take; None: real numbers.
        sampling: ddpm, ddim or dpm_solver in 1 to T steps; None: ddim in 50.
        clip: whether clean values are cut off at -1 and 1 in each step, as is usual for images; latent values are not.
    """

    density = Density.BOUNDED

    def __init__(
        self,
        denoiser: nn.Module | None = None,
        *,
        schedule: NoiseSchedule | None = None,
        prediction: Prediction = "epsilon",
        weighting: Weighting = "simple",
        class_dropout: float = 0.1,
        levels: int | None = 17,
        sampling: Sampling | None = None,
        clip: bool = True,
    ) -> None:
        _check_choice("prediction", prediction, PREDICTIONS)
        _check_choice("weighting", weighting, ("simple", "snr", "min_snr"))
        schedule = schedule or LinearSchedule()
        super().__init__(
            denoiser or UNet(),
            levels=levels,
            class_dropout=class_dropout,
            sampling=sampling or Sampling("ddim", min(_SHORT, schedule.num_steps)),
            samplers=tuple(PLANS),
            most_steps=schedule.num_steps,
        )
        self.schedule = schedule
        self.prediction = prediction
        self.weighting = weighting
        self.most = 1.0 if clip else None
        self._tables: dict[torch.device, Tensor] = {}
        self._plans: dict[tuple[str, int], tuple[Step, ...]] = {}

    def loss_of(self, values: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`denoising` (B,), the weighted squared error at one random time of each image; see `InSteps`."""
        labels = self.labels_for_training(labels, draws)
        times = (draws.uniform() * self.schedule.num_steps).long()
        noise = draws.normal(*self.image)
        signal, spread, weights = (_as(values, part) for part in self._table(values.device)[times].unbind(1))
        answer = self.denoiser(signal * values + spread * noise, self._told(times), labels).float()
        error = answer - target_of(self.prediction, values, noise, signal, spread)
        return {"denoising": weights.flatten() * error.square().flatten(1).mean(1)}

    def states(self, noise: Tensor, labels: Tensor | None, draws: Draws | None, sampling: Sampling) -> Iterator[Tensor]:
        """See `InSteps`."""
        check_labels(labels, self.num_classes)
        scale = 1000 / self.schedule.num_steps

        def ask(x: Tensor, time: int) -> Tensor:
            return self.ask(x, time * scale, labels, sampling.guidance)

        plan = self._plan(sampling)
        return follow(plan, noise, ask, draws, prediction=self.prediction, most=self.most)

    def without_draws(self) -> Sampling:
        """DDIM in place of DDPM."""
        return replace(self.sampling, sampler="ddim") if self.sampling.sampler == "ddpm" else self.sampling

    @torch.no_grad()
    def bound(self, images: Tensor, labels: Tensor | None, draws: Draws, *, num_samples: int = 1) -> Tensor:
        """(B,) float32, an estimate of the variational bound of log p(x) (Ho et al. 2020, equation 5; row 260).

        The last step is worked out; of the T - 1 before, `num_samples` times an image are drawn, one in each of as many
        spans of equal weight, so that the estimate has the same expectation for any number, and less spread for more.
        The variance is that of the posterior, of the last step beta_1, and its p(x) the mass around each level.

        Args:
            images: (B, C, H, W) in [0, 1].
            labels: (B,) int64 where the denoiser takes a class.
            draws: for B images.
            num_samples: times an image, beside the last step.
        """
        check_at_least("num_samples", num_samples, 1)
        check_labels(labels, self.num_classes)
        values = 2 * images.float() - 1
        total = -self._prior_kl(values) + self._log_p_of_last(values, images, labels, draws)
        if self.schedule.num_steps > 1:
            chances = _chances_of_times(self.schedule).to(values.device)
            uniform = draws.uniform(num_samples)
            for place in range(num_samples):
                share = (place + uniform[:, place].double()) / num_samples
                times = 1 + torch.searchsorted(chances.cumsum(0), share).clamp(max=len(chances) - 1)
                total = total - self._step_kl(values, times, labels, draws) / (num_samples * chances[times - 1])
        return total.float()

    def _prior_kl(self, values: Tensor) -> Tensor:
        """(B,) float64, of q(x_T | x) to N(0, 1), in nats."""
        kept = float(self.schedule.alpha_bar[-1])
        each = kept * values.double().square() - kept - math.log1p(-kept)
        return each.flatten(1).sum(1) / 2

    def _log_p_of_last(self, values: Tensor, images: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """(B,) log p(x | x_1) in nats, of images in [0, 1]."""
        times = torch.zeros(len(values), dtype=torch.int64, device=values.device)
        mean = self._believed(values, times, labels, draws)
        log_std = torch.full_like(mean, math.log(float(self.schedule.betas[0])) / 2)
        if self.levels is not None:
            return DiscretizedNormal(self.levels).log_prob(torch.stack([mean, log_std], 1), images)
        density = log_prob_of_normal(values.flatten(1), mean.flatten(1), log_std.flatten(1))
        return density + self.num_values * math.log(2)  # of values that are twice as wide

    def _step_kl(self, values: Tensor, times: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """(B,) of q(x_{t-1} | x_t, x) to p(x_{t-1} | x_t), in nats (Kingma et al. 2021, equation 14)."""
        snr = self.schedule.snr.to(values.device)
        error = values - self._believed(values, times, labels, draws)
        return (snr[times - 1] - snr[times]) / 2 * error.double().square().flatten(1).sum(1)

    def _believed(self, values: Tensor, times: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """The clean values (B, C, H, W) that the denoiser sees in noisy ones, (B,) steps of the schedule."""
        signal, spread, _ = (_as(values, part) for part in self._table(values.device)[times].unbind(1))
        noisy = signal * values + spread * draws.normal(*self.image)
        answer = self.denoiser(noisy, self._told(times), labels).float()
        clean = clean_of(self.prediction, noisy, answer, signal, spread)
        return clean if self.most is None else clean.clamp(-self.most, self.most)

    def _told(self, times: Tensor) -> Tensor:
        """What the denoiser hears of steps of the schedule, in [0, 1000)."""
        return times.float() * (1000 / self.schedule.num_steps)

    def _table(self, device: torch.device) -> Tensor:
        """(T, 3) float32 of signal, spread and weight of the loss; worked out in float64, and kept by device."""
        if device not in self._tables:
            schedule = self.schedule
            weights = torch.ones_like(schedule.snr)
            if self.weighting != "simple":
                weights = error_weights(
                    self.prediction, schedule.snr, _MIN_SNR if self.weighting == "min_snr" else None
                )
            self._tables[device] = torch.stack([schedule.signal, schedule.noise, weights], 1).float().to(device)
        return self._tables[device]

    def _plan(self, sampling: Sampling) -> tuple[Step, ...]:
        """The steps of a method, worked out once."""
        key = sampling.sampler, sampling.steps
        if key not in self._plans:
            self._plans[key] = PLANS[sampling.sampler](self.schedule, sampling.steps)
        return self._plans[key]


def _chances_of_times(schedule: NoiseSchedule) -> Tensor:
    """(T - 1,) float64 that add up to 1: how often times from 1 on are looked at for a bound.

    Half evenly, half by what each would add for normal data of variance 1/4: nearly all of it is in the first few.
    """
    needed = (schedule.snr[:-1] - schedule.snr[1:]) / (schedule.snr[1:] + 4)
    return (needed / needed.sum() + 1 / len(needed)) / 2


def _as(values: Tensor, part: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return part.view(-1, *[1] * (values.ndim - 1))


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"network: {name} is {value}; allowed: {', '.join(allowed)}")
