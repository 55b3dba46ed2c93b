"""What is known of a normal distribution whose dimensions are independent?"""

import math

import torch
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, log_std: Tensor) -> Tensor:
    """D_KL(N(mean, std^2) || N(0, 1)) in nats (Kingma and Welling 2014, appendix B; row 240).

    Args:
        mean: (..., Z).
        log_std: (..., Z), natural logarithm of the standard deviation.

    Returns:
        (...) float32, summed over the dimensions; 0 or more.
    """
    mean, log_std = mean.float(), log_std.float()
    # exp(t) - 1 - t is a small difference of large numbers where the deviation is near 1.
    return (mean.square() + torch.expm1(2 * log_std) - 2 * log_std).sum(-1) / 2


def log_prob_of_normal(values: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(values; mean, std^2) in nats, summed over the dimensions: (...) float32 of (..., Z)."""
    mean, log_std = mean.float(), log_std.float()
    z = (values.float() - mean) * (-log_std).exp()
    return -(z.square() / 2 + log_std + math.log(2 * math.pi) / 2).sum(-1)


def draw_normal(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    """mean + std x noise, (..., Z) float32: differentiable in mean and std (Kingma and Welling 2014, section 2.4)."""
    return mean.float() + log_std.float().exp() * noise.float()
