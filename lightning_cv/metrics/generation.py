"""How well does a network know a set of images: bits, reconstructions, latent units and codes that it uses?"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_cv.contracts import GeneratedOutput

# Sums are of multiples of these, in integers: exact, and equal in any order and on any number of devices.
_STEP = 2.0**-24
ACTIVE_VARIANCE = 0.01  # of a unit's posterior mean over the images (Burda et al. 2016, section 5.3)


class GenerationScores(Metric):
    """Means over a whole set of images, exact over devices and ragged batches.

    * `nats`: -log p(x), or what is not below it; `bits_per_dim`: the same by value and in bits, where pixels have
      levels; `importance_bits_per_dim` (or `importance_nats`) with several importance samples, where these are not all.
    * `mse`: squared error of reconstructions, by value, of values in [0, 1].
    * `control_correlation`: of the control of an image and that of a sample that follows it; `base_correlation`: of a
      sample that does not.
    * `active_units`: latent units of whose posterior means the variance is above 0.01.
    * `perplexity`: exp of the entropy of the codes, 1 to `num_codes`; `codes_used`: the share that occurs; of several
      grids each has its own, `perplexity_0` the coarsest.

    Args:
        num_values: D, numbers that an image has.
        levels: that they can take; None: bits per dimension mean nothing.
        num_latents: Z; 0: none.
        num_codes: K; 0: none.
    """

    full_state_update = False
    count: Tensor
    sums: Tensor
    absurd: Tensor
    seen: Tensor
    latent_sums: Tensor
    code_counts: Tensor

    def __init__(self, num_values: int, levels: int | None, *, num_latents: int = 0, num_codes: int = 0) -> None:
        super().__init__()
        self.num_values, self.levels, self.num_codes = num_values, levels, num_codes
        states = {
            "sums": (5,),
            "absurd": (5,),
            "seen": (5,),
            "latent_sums": (2, num_latents),
            "code_counts": (_MAX_GRIDS, num_codes),
        }
        for name, shape in {"count": (), **states}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: GeneratedOutput, targets: object = None) -> None:
        """Add a batch."""
        controlled = (None, None) if output.controlled is None else output.controlled.unbind(1)
        each = (output.nll, output.importance, output.squared_error, *controlled)
        for place, values in enumerate(each):
            if values is not None:
                self.sums[place] += _steps(values).sum()
                self.absurd[place] += (~values.isfinite()).sum()
                self.seen[place] += len(values)
        if output.latents is not None:
            self.count += len(output.latents)
            self.latent_sums += torch.stack([_steps(output.latents).sum(0), _steps(output.latents.square()).sum(0)])
        for place, codes in enumerate(output.codes):
            self.code_counts[place] += torch.bincount(codes.flatten(), minlength=self.num_codes)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores by name; those of which nothing was seen are left out."""
        means = (self.sums * _STEP / self.seen).masked_fill(self.absurd > 0, math.nan)
        nll, importance, squared_error, controlled, uncontrolled = means.unbind()
        known, with_importance, reconstructed, is_controlled, _ = (self.seen > 0).tolist()
        scores: dict[str, Tensor] = {}
        if known:
            scores |= self._in_units("", nll)
        if with_importance:
            scores |= self._in_units("importance_" if known else "", importance)
        if reconstructed:
            scores["mse"] = squared_error
        if is_controlled:
            scores |= {"control_correlation": controlled, "base_correlation": uncontrolled}
        if self.latent_sums.shape[1] and self.count:
            mean, square = self.latent_sums * _STEP / self.count
            scores["active_units"] = (square - mean.square() > ACTIVE_VARIANCE).sum()
        return {name: value.float() for name, value in (scores | self._of_codes()).items()}

    def _in_units(self, prefix: str, nats: Tensor) -> dict[str, Tensor]:
        units = {f"{prefix}nats": nats}
        if self.levels is not None:
            units[f"{prefix}bits_per_dim"] = nats / (self.num_values * math.log(2))
        return units

    def _of_codes(self) -> dict[str, Tensor]:
        grids = [counts for counts in self.code_counts if self.num_codes and counts.any()]
        scores = {}
        for place, counts in enumerate(grids):
            suffix = f"_{place}" if len(grids) > 1 else ""
            share = counts.double() / counts.sum()
            scores[f"perplexity{suffix}"] = torch.special.entr(share).sum().exp()
            scores[f"codes_used{suffix}"] = (counts > 0).double().mean()
        return scores


_MAX_GRIDS = 4


def _steps(values: Tensor) -> Tensor:
    """The nearest multiples of a step, in steps; 0 for what is not finite."""
    return torch.nan_to_num(values.double() / _STEP, nan=0.0, posinf=0.0, neginf=0.0).round().long()
