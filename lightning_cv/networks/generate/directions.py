"""Along which latent directions do images change most, though nobody said what to look for?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_cv.contracts import DecodesLatents, Draws, MapsLatents
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.latents import STEPS


@dataclass(frozen=True)
class Directions:
    """Unit vectors at right angles, the most telling first, in the space of latent vectors or of mapped ones.

    Args:
        vectors: (K, W) float32.
        scales: (K,) float32, the standard deviation along each.
    """

    vectors: Tensor
    scales: Tensor


@torch.no_grad()
def weight_directions(network: DecodesLatents, draws: Draws, *, count: int, label: Tensor | None = None) -> Directions:
    """Those that the weights stretch most: the right singular vectors of the first layer (row 252).

    SeFa (Shen and Zhou 2021, equation 4); of a network that maps its latent vectors, of all the layers that a mapped
    one enters, one upon the other (their section 3.1).

    Args:
        network: whose first layer is linear or convolutional.
        draws: for the vectors by which the scale is measured.
        count: K at most; there are no more than dimensions.
        label: (1,) int64 where the network is conditional.

    Raises:
        UserError: no layer takes the vector whole; or `count` is not 1 or more.
    """
    _check_count(count)
    vectors, is_mapped = _vectors(network, draws, label)
    found = torch.linalg.svd(_first_weight(network, vectors[:1], label).double(), full_matrices=False)
    return _directions(found.Vh[:count].float(), vectors if is_mapped else None)


@torch.no_grad()
def principal_directions(
    network: DecodesLatents, draws: Draws, *, count: int, label: Tensor | None = None
) -> Directions:
    """Those along which drawn vectors, or their images, vary most: principal components (row 252).

    GANSpace (Härkönen et al. 2020, section 2.1): components of mapped vectors where the network maps; else those of
    what the vectors become, here the images, and of the vectors what goes with them by least squares (equation 3),
    made orthonormal in order.

    Args:
        network: any that decodes.
        draws: for many more vectors than there are dimensions.
        count: K at most; there are no more than dimensions.
        label: (1,) int64 where the network is conditional.

    Raises:
        UserError: fewer draws than dimensions, or `count` is not 1 or more.
    """
    _check_count(count)
    vectors, is_mapped = _vectors(network, draws, label)
    if len(vectors) <= vectors.shape[1]:
        raise UserError(
            f"principal directions of {len(vectors)} draws; allowed: more than the {vectors.shape[1]} dimensions"
        )
    centred = (vectors - vectors.mean(0)).double()
    if is_mapped:
        return _directions(_components(centred, count).float(), vectors)
    seen = network.decode(vectors, _repeated(label, len(vectors))).flatten(1).double()
    seen = seen - seen.mean(0)
    components = _components(seen, min(count, vectors.shape[1]))
    told = torch.linalg.lstsq(seen @ components.T, centred).solution
    orthonormal, _ = torch.linalg.qr(told.T)
    return _directions(orthonormal.T.float(), None)


@torch.no_grad()
def direction_sheet(
    network: DecodesLatents, directions: Directions, draws: Draws, *, label: Tensor | None = None
) -> Tensor:
    """Images of one latent vector that is moved along one direction after another, by -3 to 3 deviations.

    Args:
        network: whose directions they are.
        directions: K of them.
        draws: for one vector.
        label: (1,) int64 where the network is conditional.

    Returns:
        (K * 7, C, H, W) float32 in [0, 1]: a row of 7 a direction.
    """
    vectors, is_mapped = _vectors(network, draws, label)
    steps = STEPS.to(vectors.device)[:, None] * (directions.vectors * directions.scales[:, None])[:, None]
    moved = (vectors[0] + steps).flatten(0, 1)
    if is_mapped:
        assert isinstance(network, MapsLatents)
        return network.decode_mapped(moved).float()
    return network.decode(moved, _repeated(label, len(moved))).float()


def _vectors(network: DecodesLatents, draws: Draws, label: Tensor | None) -> tuple[Tensor, bool]:
    """(N, W) float32 that directions are directions of, and whether they are mapped ones."""
    latents = draws.normal(network.num_latents)
    if isinstance(network, MapsLatents):
        return network.map_latents(latents, _repeated(label, len(latents))).float(), True
    return latents, False


def _directions(vectors: Tensor, mapped: Tensor | None) -> Directions:
    """With signs that do not depend on the machine: what is largest is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    vectors = vectors * largest.sign()
    if mapped is None:
        return Directions(vectors, torch.ones(len(vectors), device=vectors.device))
    return Directions(vectors, (mapped @ vectors.T).std(0))


def _components(centred: Tensor, count: int) -> Tensor:
    """(K, D) of values (N, D) whose mean is 0."""
    return torch.linalg.svd(centred, full_matrices=False).Vh[:count]


def _first_weight(network: DecodesLatents, vector: Tensor, label: Tensor | None) -> Tensor:
    """(N, W): weights of all layers that take the vector (1, W) itself, or that and the class."""
    with _layers_that_take(cast(nn.Module, network), vector) as found:
        if isinstance(network, MapsLatents):
            network.decode_mapped(vector)
        else:
            network.decode(vector, label)
    if not found:
        raise UserError(
            f"{type(network).__name__} has no layer that takes its latent vector whole; allowed: principal directions"
        )
    return torch.cat(found)


@contextmanager
def _layers_that_take(network: nn.Module, vector: Tensor) -> Iterator[list[Tensor]]:
    """Weights (N, W) of the layers that are called with a vector (1, W), in order; filled while the block runs."""
    found: list[Tensor] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        width = vector.shape[1]
        taken = given[0].flatten(1)
        weight = _matrix(module)
        if taken.shape == (1, weight.shape[1]) and torch.equal(taken[:, :width], vector):
            found.append(weight[:, :width])

    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    hooks = [module.register_forward_pre_hook(look) for module in network.modules() if isinstance(module, kinds)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _matrix(layer: nn.Module) -> Tensor:
    """(outputs, inputs) of a layer at one place."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.ConvTranspose2d):
        return weight.flatten(1).T
    return weight.flatten(2).transpose(1, 2).flatten(0, 1) if weight.ndim == 4 else weight


def _repeated(label: Tensor | None, count: int) -> Tensor | None:
    return None if label is None else label.expand(count)


def _check_count(count: int) -> None:
    if count < 1:
        raise UserError(f"directions: {count} asked for; allowed: 1 or more")
