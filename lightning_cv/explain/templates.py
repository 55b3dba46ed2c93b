"""Which image does each class of a linear classifier compare others with?"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Templates(NamedTuple):
    """A linear classifier as one image a class: score_c = <weights_c, image> + bias_c (row 3).

    Args:
        weights: (classes, C, H, W) float32.
        bias: (classes,) float32.
    """

    weights: Tensor
    bias: Tensor


def find_templates(network: nn.Module, image: tuple[int, int, int]) -> Templates | None:
    """The templates of a network that is linear in the pixels; None: it is not.

    They are its derivatives, so that how it is built does not matter: a fixed scaling of the pixels is part of them.
    A network with more than one layer of weights is not even tried.

    Args:
        network: images (B, C, H, W) to class scores (B, classes).
        image: (C, H, W) of its images.
    """
    if sum(1 for module in network.modules() if any(True for _ in module.parameters(recurse=False))) != 1:
        return None
    weight = next(network.parameters())
    if not weight.is_floating_point():
        return None
    was_training = network.training
    network.eval()
    try:
        return _derivatives(network, torch.zeros(1, *image, device=weight.device))
    finally:
        network.train(was_training)


def template_images(weights: Tensor) -> Tensor:
    """The templates as pictures: uint8 (classes, 3, H, W).

    Of one channel: white is 0, red what speaks for the class and blue what speaks against it, full at the largest
    weight of all classes. Of three: each template from its least to its largest weight.

    Args:
        weights: (classes, C, H, W).
    """
    if weights.shape[1] == 3:
        low, high = weights.amin(dim=(1, 2, 3), keepdim=True), weights.amax(dim=(1, 2, 3), keepdim=True)
        shares = (weights - low) / (high - low).clamp_min(1e-12)
    else:
        one = weights.mean(dim=1)
        part = (one / one.abs().max().clamp_min(1e-12)).clamp(-1, 1)
        shares = torch.stack([1 + part.clamp(max=0), 1 - part.abs(), 1 - part.clamp(min=0)], dim=1)
    return (shares * 255).round().to(torch.uint8).cpu()


def _derivatives(network: nn.Module, zero: Tensor) -> Templates | None:
    with torch.enable_grad(), torch.inference_mode(mode=False):
        images = torch.zeros_like(zero, requires_grad=True)
        scores = network(images)
        if scores.ndim != 2 or not scores.requires_grad:
            return None
        rows = [torch.autograd.grad(score, images, retain_graph=True, allow_unused=True)[0] for score in scores[0]]
    if any(row is None for row in rows):
        return None
    weights, bias = torch.cat(rows).detach(), scores[0].detach()
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(zero.shape, generator=generator).to(zero.device)
    with torch.no_grad():
        found, said = network(probe)[0], (weights * probe).flatten(1).sum(dim=1) + bias
    scale = found.abs().max().clamp_min(1.0)
    return Templates(weights, bias) if bool((found - said).abs().max() < 1e-3 * scale) else None
